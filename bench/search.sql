-- PostgreSQL's side of bench/search: residents and their folded names, with the indexes that its twelve questions
-- ask for. The planner is led past its mistakes in the statements themselves (search_queries.cc).
create extension pg_trgm;
create table resident(
  id bigint not null, juki bigint not null, myno bigint, kanji text, kana text, kyu_kanji text, kyu_kana text,
  tsu_kanji text, tsu_kana text, romaji text, birth int not null, sex int2 not null, muni int not null,
  addr text not null, addr_norm text collate "C" not null);
-- k: 1 a reading, 2 a name. surlen: characters of its first part. birth, sex, muni: the resident's, for the indexes.
create table rname(
  id bigint not null, k int2 not null, norm text collate "C" not null, surlen int2 not null, birth int not null,
  sex int2 not null, muni int not null);
\set from '\'' :data '/resident.tsv\''
copy resident from :from with (null '');
\set from '\'' :data '/rname.tsv\''
copy rname from :from;
alter table resident add primary key (id);
create unique index resident_juki on resident(juki);
create unique index resident_myno on resident(myno);
create index resident_birth on resident(birth, muni, sex);
create index resident_addr on resident(addr_norm text_pattern_ops);
create index rname_norm on rname(k, norm text_pattern_ops, birth) include (sex, muni, id);
create index rname_muni on rname(muni, k, birth, norm text_pattern_ops) include (id, sex, surlen);
create index rname_id on rname(id);
create index rname_trgm on rname using gin (norm gin_trgm_ops) where k = 2;
vacuum (analyze) resident;
vacuum (analyze) rname;
