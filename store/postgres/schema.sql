-- The tables of store/relational in PostgreSQL 15 and newer. Texts compare by
-- their bytes, as everywhere in the house. Absent values are 0 and ''.

CREATE TABLE head (
	one integer PRIMARY KEY, site text, epoch bigint, seq bigint, audit bigint, rid bigint, word bigint,
	now bigint, floor bigint, feed_hash bytea, audit_hash bytea
) WITH (fillfactor = 50);

CREATE TABLE word (id bigint PRIMARY KEY, space integer, text text COLLATE "C");

CREATE TABLE record (
	rid bigint PRIMARY KEY, created bigint, updated bigint, next bigint, subject bigint,
	nth integer, version integer, state integer, home integer, deleted integer, kind integer, org integer, dept integer,
	id text COLLATE "C", present text COLLATE "C", owner text COLLATE "C", hash bytea, body bytea
);
ALTER TABLE record ALTER body SET STORAGE EXTERNAL; -- compressed already
CREATE UNIQUE INDEX record_key ON record (kind, id);
CREATE INDEX record_live ON record (kind, rid) WHERE deleted = 0 AND version > 0;
CREATE INDEX record_updated ON record (kind, updated);
CREATE INDEX record_created ON record (kind, created);
CREATE INDEX record_state ON record (kind, state, rid) WHERE state <> 0;
CREATE INDEX record_next ON record (kind, next) WHERE next <> 0;
CREATE INDEX record_owner ON record (owner, kind) WHERE owner <> '';

CREATE TABLE version (
	rid bigint, created bigint, updated bigint, next bigint,
	nth integer, version integer, state integer, home integer, deleted integer, hash bytea, body bytea,
	PRIMARY KEY (rid, nth)
);
ALTER TABLE version ALTER body SET STORAGE EXTERNAL;

CREATE TABLE token (rid bigint, about bigint, p integer, sys integer, occ integer, rank smallint, code text COLLATE "C");
CREATE INDEX token_code ON token (p, code, rid);
CREATE INDEX token_about ON token (about, p, code, rid) WHERE about > 0;
CREATE TABLE text (rid bigint, p integer, occ integer, form smallint, rank smallint, fold text COLLATE "C", exact text COLLATE "C");
CREATE INDEX text_fold ON text (p, fold, rid);
CREATE TABLE date (rid bigint, lo bigint, hi bigint, p integer, occ integer, cls smallint, rank smallint);
CREATE INDEX date_start ON date (p, cls, lo, rid);
CREATE INDEX date_end ON date (p, hi) WHERE cls = 1;
CREATE INDEX date_rid ON date (rid, p);
CREATE TABLE quantity (rid bigint, lo double precision, hi double precision, p integer, sys integer, unit integer, occ integer, rank smallint);
CREATE INDEX quantity_start ON quantity (p, lo, rid);
CREATE INDEX quantity_end ON quantity (p, hi);
CREATE INDEX quantity_rid ON quantity (rid, p);
CREATE TABLE ref (target bigint, rid bigint, p integer, occ integer);
CREATE INDEX ref_target ON ref (target, p, rid);
CREATE INDEX ref_rid ON ref (rid, p);
CREATE TABLE url (rid bigint, p integer, occ integer, url text COLLATE "C");
CREATE INDEX url_url ON url (p, url, rid);

CREATE TABLE feed (seq bigint PRIMARY KEY, rid bigint, sum bigint, nth integer, kind integer);
CREATE INDEX feed_kind ON feed (kind, seq);
CREATE TABLE audit (
	seq bigint PRIMARY KEY, at bigint, sum bigint, who text COLLATE "C", action text COLLATE "C",
	subject text COLLATE "C", patient text COLLATE "C", outcome text COLLATE "C", rest bytea
);
CREATE TABLE audit_term (segment bigint, term text COLLATE "C", seq bigint, PRIMARY KEY (segment, term, seq));
CREATE TABLE chain (feed bigint, audit bigint, sum bigint, feed_hash bytea, audit_hash bytea, PRIMARY KEY (feed, audit));
CREATE TABLE anchor (seq bigint PRIMARY KEY, hash bytea, signature bytea, at bigint);

CREATE TABLE reader (name text COLLATE "C" PRIMARY KEY, seq bigint, at bigint);
CREATE TABLE sequence (name text COLLATE "C" PRIMARY KEY, last bigint);
CREATE TABLE lease (name text COLLATE "C" PRIMARY KEY, owner text COLLATE "C", fence bigint, expires bigint);

CREATE TABLE layout (version integer);
