// The reader of the notice file against every way a file can be bad: each test damages a good file
// in one way and expects exactly that line, field and rule. What is good must come back byte for
// byte.
#include "consumers/notice_file.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "events/codes.h"

namespace daicho {
namespace {

const std::string kPng("\x89PNG\r\n\x1A\n", 8);

v1::UpdateNotice Birth() {
  v1::UpdateNotice notice;
  notice.set_resident_code("24727059608");
  notice.set_update_number(1);
  notice.set_kind(v1::NOTICE_KIND_ENTRY);
  notice.set_reason(v1::CHANGE_REASON_BIRTH);
  notice.set_changed_on("2026-11-20");
  notice.set_notified_at("2026-11-24T09:12:03+09:00");
  v1::ResidentRecord& record = *notice.mutable_record();
  record.set_name("渡邊\U000E0101 花子");
  record.set_kana("わたなべ はなこ");
  record.set_kana_certified(true);
  record.set_birth("2026-11-20");
  record.set_sex(v1::SEX_FEMALE);
  record.mutable_address()->set_municipality("102016");
  record.mutable_address()->set_town("0012000");
  record.mutable_address()->set_text("大手町一丁目１番１号");
  record.mutable_address()->set_postal_code("3710026");
  record.set_individual_number("123456789018");
  return notice;
}

// Every field that a notice can have.
v1::UpdateNotice Full() {
  v1::UpdateNotice notice = Birth();
  notice.set_update_number(7);
  notice.set_kind(v1::NOTICE_KIND_AMEND);
  notice.set_reason(v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT);
  notice.set_cancels(6);
  v1::ResidentRecord& record = *notice.mutable_record();
  record.mutable_former_name()->set_name("髙橋");
  record.mutable_former_name()->set_kana("たかはし");
  record.mutable_alias()->set_name("\uFA19谷");
  record.set_latin_name("O'BRIEN, J.");
  record.set_birth("1911-02-29");
  v1::ExternalGlyph& glyph = *record.add_external_glyphs();
  glyph.set_field("name");
  glyph.set_index(1);
  glyph.set_image_png(kPng + std::string(70, '\0'));
  return notice;
}

std::string FileOf(const std::vector<v1::UpdateNotice>& notices) {
  return WriteNoticeFile("102016", 41, std::span<const v1::UpdateNotice>(notices));
}

// A file whose header fits the given lines, whatever they are.
std::string FileOfLines(const std::string& lines) { return WriteNoticeFile("102016", 41, lines); }

NoticeFileReading Read(const std::string& bytes) {
  std::istringstream in(bytes);
  Result<NoticeFileReading> reading = ReadNoticeStream(in);
  CHECK(reading.ok());
  return std::move(reading).value();
}

// "line field rule" of every error, separated by "; ".
std::string Errors(const std::string& bytes) {
  std::string out;
  for (const FileError& error : Read(bytes).errors) {
    EXPECT_FALSE(error.message.empty());
    if (!out.empty()) out += "; ";
    out += std::to_string(error.line) + " " + error.field + " " + error.rule;
  }
  return out;
}

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

// The errors of a file whose one notice had `from` replaced in its line.
std::string LineErrors(std::string_view from, std::string_view to) {
  return Errors(FileOfLines(Replaced(NoticeLine(Full()), from, to) + "\n"));
}

// The errors of a good file with `from` replaced in its header.
std::string HeaderErrors(std::string_view from, std::string_view to) {
  return Errors(Replaced(FileOf({Birth(), Full()}), from, to));
}

std::string Gzip(const std::string& bytes) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  CHECK(deflateEnd(&stream) == Z_OK);
  return out;
}

std::string Zstd(const std::string& bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3);
  CHECK(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

TEST(NoticeFile, HeaderAndLinesAreCanonical) {
  EXPECT_EQ(
      NoticeFileHeader("102016", 41, 2, "ab"),
      R"({"format":"daicho-notice/1","issuer":"102016","sequence":41,"count":2,"sha256":"ab"})");
  EXPECT_EQ(
      NoticeLine(Birth()),
      R"({"resident_code":"24727059608","update_number":1,"kind":"entry","reason":"birth",)"
      R"("changed_on":"2026-11-20","notified_at":"2026-11-24T09:12:03+09:00","record":{"name":")"
      "渡邊\U000E0101 花子"
      R"(","kana":"わたなべ はなこ","kana_certified":true,"birth":"2026-11-20","sex":"female",)"
      R"("address":{"municipality":"102016","town":"0012000","text":"大手町一丁目１番１号",)"
      R"("postal_code":"3710026"},"individual_number":"123456789018"}})");
}

TEST(NoticeFile, WhatIsWrittenIsReadByteForByte) {
  const NoticeFileReading reading = Read(FileOf({Birth(), Full()}));
  ASSERT_EQ(reading.errors, std::vector<FileError>{});
  EXPECT_EQ(reading.file.issuer, "102016");
  EXPECT_EQ(reading.file.sequence, 41u);
  ASSERT_EQ(reading.file.payloads.size(), 2u);
  EXPECT_EQ(reading.file.payloads[0], Birth().SerializeAsString());
  EXPECT_EQ(reading.file.payloads[1], Full().SerializeAsString());
}

TEST(NoticeFile, NamesSurviveByteForByte) {
  for (const std::string name :
       {"渡邊\U000E0101", "葛\U000E0100", "𠮷田", "髙橋", "\uFA19\uFA10", "\U0001B001"}) {
    v1::UpdateNotice notice = Birth();
    notice.mutable_record()->set_name(name);
    const NoticeFileReading reading = Read(FileOf({notice}));
    ASSERT_TRUE(reading.errors.empty()) << name;
    v1::UpdateNotice read;
    ASSERT_TRUE(read.ParseFromString(reading.file.payloads[0]));
    EXPECT_EQ(read.record().name(), name);
  }
}

TEST(NoticeFile, EscapesAndSpacesOfOtherWritersMeanTheSame) {
  const std::string line =
      Replaced(Replaced(NoticeLine(Birth()), "渡邊\U000E0101", "\\u6e21\\u908a\\udb40\\udd01"),
               "{\"resident_code\":", " { \"resident_code\" :\t") +
      " \r\n";
  const NoticeFileReading reading = Read(FileOfLines(line));
  ASSERT_TRUE(reading.errors.empty());
  EXPECT_EQ(reading.file.payloads[0], Birth().SerializeAsString());
}

TEST(NoticeFile, CompressionIsToldFromContent) {
  const std::string file = FileOf({Birth(), Full()});
  const std::vector<std::string> payloads = Read(file).file.payloads;
  const std::size_t half = file.size() / 2;
  for (const std::string& bytes :
       {Gzip(file), Zstd(file), Gzip(file.substr(0, half)) + Gzip(file.substr(half)),
        Zstd(file.substr(0, half)) + Zstd(file.substr(half))}) {
    EXPECT_EQ(Errors(bytes), "");
    EXPECT_EQ(Read(bytes).file.payloads, payloads);
  }
}

TEST(NoticeFile, TruncationIsFoundAtEveryByte) {
  const std::string file = FileOf({Birth(), Full()});
  const auto expect_refused = [](const std::string& bytes, const std::string& what) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(Read(bytes.substr(0, size)).errors.empty()) << what << " " << size;
    }
  };
  expect_refused(file, "plain");
  expect_refused(Gzip(file), "gzip");
  expect_refused(Zstd(file), "zstd");
  const std::size_t cut_in_line_3 = file.size() - 1;
  EXPECT_EQ(Errors(file.substr(0, cut_in_line_3)), "3  truncated");
  const std::string gzip = Gzip(file);
  EXPECT_EQ(Errors(gzip.substr(0, gzip.size() - 1)), "4  truncated");
  const std::string zstd = Zstd(file);
  EXPECT_EQ(Errors(zstd.substr(0, zstd.size() - 1)).substr(2), " truncated");
}

TEST(NoticeFile, EveryFlippedBitOfTheBodyIsFound) {
  const std::string file = FileOf({Birth()});
  for (std::size_t at = 0; at < file.size(); ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    // The header is not hashed: its sequence may change unseen, and the sequencer will miss the
    // other.
    if (Read(damaged).errors.empty()) {
      EXPECT_NE(Read(damaged).file.sequence, 41u) << at;
    }
  }
}

TEST(NoticeFile, DamagedCompressionIsRefused) {
  const std::string file = FileOf({Birth(), Full()});
  std::string gzip = Gzip(file);
  EXPECT_EQ(Errors(gzip + "x"), "4  trailing");
  gzip[gzip.size() / 2] = static_cast<char>(gzip[gzip.size() / 2] ^ 0x55);
  EXPECT_NE(Errors(gzip), "");
  std::string zstd = Zstd(file);
  EXPECT_EQ(Errors(zstd + "x"), "4  trailing");
  EXPECT_EQ(Errors("\x28\xB5\x2F\xFD" + std::string(20, '\xFF')), "1  compression");
}

TEST(NoticeFile, ALineMustBeOneJsonObject) {
  EXPECT_EQ(LineErrors("{\"resident_code\"", "{resident_code"), "2  json");
  EXPECT_EQ(LineErrors("\"birth\"", "\"birth"), "2  json");
  const std::string line = NoticeLine(Birth());
  EXPECT_EQ(Errors(FileOfLines(line + "x\n")), "2  json");
  EXPECT_EQ(Errors(FileOfLines(line + line + "\n")), "2  json");
  EXPECT_EQ(Errors(FileOfLines("[" + line + "]\n")), "2  type");
  EXPECT_EQ(Errors(FileOfLines("null\n")), "2  type");
  EXPECT_EQ(Errors(FileOfLines(line + std::string(1, '\0') + "x\n")), "2  json");
  EXPECT_EQ(Errors(FileOfLines("// " + line + "\n")), "2  json");
}

TEST(NoticeFile, EmptyLinesAreErrors) {
  const std::string line = NoticeLine(Birth()) + "\n";
  EXPECT_EQ(Errors(FileOfLines(line + "\n" + line)), "3  empty_line");
  EXPECT_EQ(Errors(FileOfLines(line + " \r\n")), "3  empty_line");
}

TEST(NoticeFile, DamagedUtf8IsRefused) {
  EXPECT_EQ(LineErrors("花子", "花\xE5\xAD"), "2  utf8");
  EXPECT_EQ(LineErrors("花子", "\xC0\xAF"), "2  utf8");
  EXPECT_EQ(LineErrors("花子", "\xED\xA0\x80"), "2  utf8");
  EXPECT_EQ(LineErrors("花子", "\xF4\x90\x80\x80"), "2  utf8");
  EXPECT_EQ(LineErrors("花子", "\\ud800"), "2  json");
}

TEST(NoticeFile, AByteOrderMarkIsRefused) {
  EXPECT_EQ(Errors("\xEF\xBB\xBF" + FileOf({Birth()})), "1  bom");
  EXPECT_EQ(Errors(FileOfLines("\xEF\xBB\xBF" + NoticeLine(Birth()) + "\n")), "2  bom");
}

TEST(NoticeFile, KeysComeOnceAndAreKnown) {
  EXPECT_EQ(LineErrors("\"kind\":\"amend\"", "\"kind\":\"amend\",\"kind\":\"amend\""),
            "2 kind duplicate");
  EXPECT_EQ(LineErrors("\"town\"", "\"municipality\":\"102024\",\"town\""),
            "2 record.address.municipality duplicate");
  EXPECT_EQ(LineErrors("\"town\"", "\"village\""), "2 record.address.village unknown_field");
  EXPECT_EQ(LineErrors("\"town\"", "\"渡邊\""), "2 record.address.? unknown_field");
  EXPECT_EQ(LineErrors("\"index\":1", "\"index\":1,\"x\":{\"a\":[1,{\"b\":null}]},\"y\":[[]]"),
            "2 record.external_glyphs[0].x unknown_field; "
            "2 record.external_glyphs[0].y unknown_field");
}

TEST(NoticeFile, TypesAreStrict) {
  EXPECT_EQ(LineErrors("\"update_number\":7", "\"update_number\":\"7\""), "2 update_number type");
  EXPECT_EQ(LineErrors("\"update_number\":7", "\"update_number\":7.0"), "2 update_number type");
  EXPECT_EQ(LineErrors("\"update_number\":7", "\"update_number\":-7"), "2 update_number range");
  EXPECT_EQ(LineErrors("\"update_number\":7", "\"update_number\":4294967296"),
            "2 update_number range");
  EXPECT_EQ(LineErrors("\"cancels\":6", "\"cancels\":0"), "2 cancels range");
  EXPECT_EQ(LineErrors("\"cancels\":6", "\"cancels\":7"), "2 cancels range");
  EXPECT_EQ(LineErrors("\"24727059608\"", "24727059608"), "2 resident_code type");
  EXPECT_EQ(LineErrors("\"kana_certified\":true", "\"kana_certified\":1"),
            "2 record.kana_certified type");
  EXPECT_EQ(LineErrors("\"latin_name\":\"O'BRIEN, J.\"", "\"latin_name\":null"),
            "2 record.latin_name type");
  EXPECT_EQ(LineErrors("\"former_name\":{", "\"former_name\":[{\"name\":\"a\"}],\"alias\":{"),
            "2 record.former_name type; 2 record.alias duplicate");
  EXPECT_EQ(Errors(FileOfLines(Replaced(NoticeLine(Full()), "\"external_glyphs\":[",
                                        "\"external_glyphs\":[3,[],\"x\",") +
                               "\n")),
            "2 record.external_glyphs[0] type; 2 record.external_glyphs[1] type; "
            "2 record.external_glyphs[2] type");
}

TEST(NoticeFile, RequiredFieldsAreThere) {
  EXPECT_EQ(LineErrors("\"resident_code\":\"24727059608\",", ""), "2 resident_code required");
  EXPECT_EQ(LineErrors("\"kana_certified\":true,", ""), "2 record.kana_certified required");
  EXPECT_EQ(LineErrors("\"municipality\":\"102016\",", ""),
            "2 record.address.municipality required");
  EXPECT_EQ(LineErrors("\"index\":1,", ""), "2 record.external_glyphs[0].index required");
  EXPECT_EQ(Errors(FileOfLines("{}\n")),
            "2 resident_code required; 2 update_number required; 2 kind required; "
            "2 reason required; 2 changed_on required; 2 notified_at required; "
            "2 record required");
}

TEST(NoticeFile, WordsAreOfTheirSet) {
  EXPECT_EQ(LineErrors("\"kind\":\"amend\"", "\"kind\":\"Amend\""), "2 kind unknown_value");
  EXPECT_EQ(LineErrors("\"ex_officio_amendment\"", "\"marriage\""), "2 reason unknown_value");
  EXPECT_EQ(LineErrors("\"female\"", "\"\""), "2 record.sex unknown_value");
  EXPECT_EQ(LineErrors("\"image_png\":\"", "\"image_png\":\"*"),
            "2 record.external_glyphs[0].image_png base64");
}

TEST(NoticeFile, FormAndContentErrorsComeTogetherByLine) {
  v1::UpdateNotice bad = Birth();
  bad.set_resident_code("24727059609");
  bad.mutable_record()->mutable_address()->set_municipality("102024");
  const std::string lines = NoticeLine(Birth()) + "\n" +
                            Replaced(NoticeLine(bad), "\"kana\"", "\"kama\"") + "\n" + "{\n" +
                            NoticeLine(bad) + "\n";
  EXPECT_EQ(Errors(Replaced(FileOfLines(lines), "\"count\":4", "\"count\":5")),
            "1 count count; "
            "3 record.kama unknown_field; 3 record.kana required; 3 resident_code check_digit; "
            "3 record.address.municipality issuer; "
            "4  json; "
            "5 resident_code check_digit; 5 record.address.municipality issuer");
}

TEST(NoticeFile, HeaderIsChecked) {
  EXPECT_EQ(HeaderErrors("\"issuer\":\"102016\"", "\"issuer\":\"102017\""), "1 issuer check_digit");
  EXPECT_EQ(HeaderErrors("\"issuer\":\"102016\"", "\"issuer\":\"131016\""),
            "1 issuer municipality");
  EXPECT_EQ(HeaderErrors("\"issuer\":\"102016\"", "\"issuer\":\"前橋市\""), "1 issuer format");
  EXPECT_EQ(HeaderErrors("\"sequence\":41", "\"sequence\":0"), "1 sequence range");
  EXPECT_EQ(HeaderErrors("\"count\":2", "\"count\":0"), "1 count range");
  EXPECT_EQ(HeaderErrors("\"count\":2", "\"count\":10001"), "1 count limit");
  EXPECT_EQ(HeaderErrors("\"count\":2,", ""), "1 count required");
  EXPECT_EQ(HeaderErrors("\"sha256\":\"", "\"sha256\":\"0"), "1 sha256 format");
  EXPECT_EQ(HeaderErrors("\"sequence\"", "\"seq\":1,\"sequence\""), "1 seq unknown_field");
  EXPECT_EQ(HeaderErrors("daicho-notice/1", "daicho-notice/2"), "1 format unknown_value");
  EXPECT_EQ(HeaderErrors("{\"format\"", "{format"), "1  json");
  EXPECT_EQ(Errors(""), "1  required");
  EXPECT_EQ(Errors("\n"), "1  json");
}

TEST(NoticeFile, CountAndHashMustAgree) {
  const std::string file = FileOf({Birth(), Full()});
  const NoticeFileReading counted = Read(Replaced(file, "\"count\":2", "\"count\":3"));
  ASSERT_EQ(counted.errors.size(), 1u);
  EXPECT_EQ(counted.errors[0],
            (FileError{1, "count", "count", "件数が通知の行数と一致しません", 2}));
  EXPECT_EQ(Errors(Replaced(file, "大手町一丁目", "大手町二丁目")), "1 sha256 sha256");
  EXPECT_EQ(Errors(file + NoticeLine(Birth()) + "\n"), "1 count count; 1 sha256 sha256");
  EXPECT_EQ(Errors(Replaced(file, "\n", " \n")),
            "");  // of the header line; the hash begins after it
}

TEST(NoticeFile, ErrorsAreBounded) {
  std::string lines;
  for (std::uint64_t i = 0; i < kFileErrorsMax + 500; ++i) lines += "{\n";
  const NoticeFileReading reading = Read(FileOfLines(lines));
  ASSERT_EQ(reading.errors.size(), kFileErrorsMax + 1);
  EXPECT_EQ(reading.errors.back().rule, "too_many");
  EXPECT_EQ(reading.errors.back().line, kFileErrorsMax + 2);
}

TEST(NoticeFile, ErrorsOfOneLineAreBounded) {
  std::string line = "{";
  for (int i = 0; i < 100'000; ++i) line += "\"a\":1,";
  const NoticeFileReading reading = Read(FileOfLines(line + "\"b\":2}\n"));
  EXPECT_EQ(reading.errors.size(), kJsonBreaksMax);
}

TEST(NoticeFile, LimitsAreExact) {
  const std::string line = NoticeLine(Birth());
  const std::string padding(kLineBytesMax - line.size(), ' ');
  EXPECT_EQ(Errors(FileOfLines(line + padding + "\n" + line + "\n")), "");
  EXPECT_EQ(Errors(FileOfLines(line + padding + " \n" + line + "\n")), "2  limit");
  // Twenty images of 64 KiB fit a line.
  v1::UpdateNotice glyphs = Full();
  glyphs.mutable_record()->clear_external_glyphs();
  glyphs.mutable_record()->mutable_address()->set_text(std::string(20, 'x'));
  for (unsigned i = 0; i < 20; ++i) {
    v1::ExternalGlyph& glyph = *glyphs.mutable_record()->add_external_glyphs();
    glyph.set_field("address");
    glyph.set_index(i);
    glyph.set_image_png(kPng + std::string(kGlyphImageBytesMax - kPng.size(), '\xFF'));
  }
  EXPECT_EQ(Errors(FileOf({glyphs})), "");
}

TEST(NoticeFile, ElevenThousandNoticesAreTooMany) {
  std::string lines;
  const std::string line = NoticeLine(Birth()) + "\n";
  for (std::uint64_t i = 0; i < kFileNoticesMax; ++i) lines += line;
  EXPECT_EQ(Errors(FileOfLines(lines)), "");
  EXPECT_EQ(Errors(FileOf({Birth()}) + lines), "10002  limit");
}

// Gives the same byte for ever and counts what was taken.
class EndlessBuffer : public std::streambuf {
 public:
  explicit EndlessBuffer(std::string start) : start_(std::move(start)) {}
  std::uint64_t taken() const { return taken_; }

 protected:
  std::streamsize xsgetn(char* to, std::streamsize count) override {
    for (std::streamsize i = 0; i < count; ++i) {
      to[i] = taken_ < start_.size() ? start_[taken_] : 'x';
      ++taken_;
    }
    return count;
  }

 private:
  std::string start_;
  std::uint64_t taken_ = 0;
};

TEST(NoticeFile, AnEndlessLineIsRefusedAtTheLimit) {
  EndlessBuffer endless(FileOf({Birth()}));
  std::istream in(&endless);
  const Result<NoticeFileReading> reading = ReadNoticeStream(in);
  ASSERT_TRUE(reading.ok());
  ASSERT_EQ(reading->errors.size(), 1u);
  EXPECT_EQ(reading->errors[0].rule, "limit");
  EXPECT_LE(endless.taken(), kFileBytesMax + (1u << 20));
}

TEST(NoticeFile, ABombIsRefusedAtTheLimit) {
  const std::string zeros(16u << 20, '\0');
  const std::string gzip_member = Gzip(zeros);
  const std::string zstd_frame = Zstd(zeros);
  std::string gzip;
  std::string zstd;
  for (int i = 0; i < 640; ++i) {  // 10 GiB
    gzip += gzip_member;
    zstd += zstd_frame;
  }
  EXPECT_EQ(Errors(gzip), "1  limit");
  EXPECT_EQ(Errors(zstd), "1  limit");
}

TEST(NoticeFile, AFrameThatWantsTooMuchMemoryIsRefused) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  CHECK(ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27)) == 0);
  CHECK(ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)) == 0);
  const std::string file = FileOf({Birth()});
  std::string out(1u << 16, '\0');
  ZSTD_inBuffer from{file.data(), file.size() / 2, 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ZSTD_compressStream2(context, &to, &from, ZSTD_e_flush);
  from.size = file.size();
  CHECK(ZSTD_compressStream2(context, &to, &from, ZSTD_e_end) == 0);
  ZSTD_freeCCtx(context);
  EXPECT_EQ(Errors(out.substr(0, to.pos)), "1  compression");
}

TEST(NoticeFile, FilesOnDiskAreReadAndTheirAbsenceIsAStatus) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("notice_file_test." + std::to_string(getpid()) + ".ndjson");
  std::ofstream(path, std::ios::binary) << FileOf({Birth()});
  Result<NoticeFileReading> reading = ReadNoticeFile(path.string());
  ASSERT_TRUE(reading.ok());
  EXPECT_TRUE(reading->errors.empty());
  std::filesystem::remove(path);
  EXPECT_EQ(ReadNoticeFile(path.string()).status().code(), Code::kNotFound);
  EXPECT_EQ(ReadNoticeFile("/").status().code(), Code::kUnavailable);
}

TEST(NoticeJson, NamesGoBothWays) {
  for (int reason = 1; reason < 100; ++reason) {
    const auto value = static_cast<v1::ChangeReason>(reason);
    if (!v1::ChangeReason_IsValid(reason)) continue;
    EXPECT_EQ(ReasonFromName(ReasonName(value)), value);
  }
  EXPECT_EQ(ReasonFromName(""), std::nullopt);
  EXPECT_EQ(KindFromName(KindName(v1::NOTICE_KIND_REMOVAL)), v1::NOTICE_KIND_REMOVAL);
  EXPECT_EQ(SexFromName(SexName(v1::SEX_MALE)), v1::SEX_MALE);
}

TEST(NoticeJson, ARecordAloneReadsBack) {
  v1::ResidentRecord read;
  const JsonReading reading = ReadRecord(RecordJson(Full().record()), read);
  EXPECT_TRUE(reading.complete);
  EXPECT_EQ(reading.breaks, std::vector<RuleBreak>{});
  EXPECT_EQ(read.SerializeAsString(), Full().record().SerializeAsString());
}

TEST(Base64, IsStrict) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  std::string out;
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(Base64Encode(plain), encoded);
    EXPECT_TRUE(Base64Decode(encoded, out));
    EXPECT_EQ(out, plain);
  }
  for (const char* bad : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 9v",
                          "Zm9-", "Zm9_", "=m9v"}) {
    EXPECT_FALSE(Base64Decode(bad, out)) << bad;
  }
}

}  // namespace
}  // namespace daicho
