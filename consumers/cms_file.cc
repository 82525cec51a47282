#include "consumers/cms_file.h"

#include <fcntl.h>

#include "ledger/files.h"

namespace daicho {

struct CmsFile::Impl {
  Impl(NewFile to, const CmsRecipient& recipient)
      : file(std::move(to)), stream(recipient, [this](std::string_view bytes) {
          digest.Update(bytes);
          return file.Append(bytes);
        }) {}

  NewFile file;
  Sha256 digest;
  CmsStream stream;
};

CmsFile::CmsFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CmsFile::~CmsFile() = default;

Result<std::unique_ptr<CmsFile>> CmsFile::Create(const std::string& path, const CmsRecipient& recipient) {
  ASSIGN_OR_RETURN(NewFile file, NewFile::Create(path));
  return std::unique_ptr<CmsFile>(new CmsFile(std::make_unique<Impl>(std::move(file), recipient)));
}

Status CmsFile::Write(std::string_view piece) { return impl_->stream.Write(piece); }

Result<Digest> CmsFile::Finish() {
  RETURN_IF_ERROR(impl_->stream.Finish());
  RETURN_IF_ERROR(impl_->file.Commit());
  return impl_->digest.Final();
}

Status OpenCmsFile(const CmsOpener& opener, const std::string& path, const std::string& out) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus("opening " + path);
  ASSIGN_OR_RETURN(NewFile content, NewFile::Create(out));
  RETURN_IF_ERROR(opener.Open(
      [&](std::uint64_t offset, char* to, std::size_t size) { return ReadAt(file, offset, to, size); },
      [&](std::string_view bytes) { return content.Append(bytes); }));
  return content.Commit();
}

}  // namespace daicho
