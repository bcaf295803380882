-- The tables of store/relational in SQLite. Index tables are clustered by what
-- they are asked for; a second index stands only where a class of queries needs
-- it. Absent values are 0 and '', which cost no more than NULL here.

CREATE TABLE IF NOT EXISTS head (
	one INTEGER PRIMARY KEY, site TEXT, epoch INTEGER, seq INTEGER, audit INTEGER, rid INTEGER, word INTEGER,
	now INTEGER, floor INTEGER, feed_hash BLOB, audit_hash BLOB
);

CREATE TABLE IF NOT EXISTS word (id INTEGER PRIMARY KEY, space INTEGER, text TEXT);

CREATE TABLE IF NOT EXISTS record (
	rid INTEGER PRIMARY KEY, nth INTEGER, version INTEGER, state INTEGER, home INTEGER,
	created INTEGER, updated INTEGER, next INTEGER, deleted INTEGER,
	kind INTEGER, id TEXT, present TEXT, org INTEGER, dept INTEGER, owner TEXT, subject INTEGER,
	hash BLOB, body BLOB
);
CREATE UNIQUE INDEX IF NOT EXISTS record_key ON record (kind, id);
CREATE INDEX IF NOT EXISTS record_live ON record (kind) WHERE deleted = 0 AND version > 0;
CREATE INDEX IF NOT EXISTS record_updated ON record (kind, updated);
CREATE INDEX IF NOT EXISTS record_created ON record (kind, created);
CREATE INDEX IF NOT EXISTS record_state ON record (kind, state) WHERE state <> 0;
CREATE INDEX IF NOT EXISTS record_next ON record (kind, next) WHERE next <> 0;
CREATE INDEX IF NOT EXISTS record_owner ON record (owner, kind) WHERE owner <> '';

CREATE TABLE IF NOT EXISTS version (
	rid INTEGER, nth INTEGER, version INTEGER, state INTEGER, home INTEGER,
	created INTEGER, updated INTEGER, next INTEGER, deleted INTEGER, hash BLOB, body BLOB
);
CREATE UNIQUE INDEX IF NOT EXISTS version_key ON version (rid, nth);

CREATE TABLE IF NOT EXISTS token (p INTEGER, code TEXT, rid INTEGER, sys INTEGER, occ INTEGER, rank INTEGER, about INTEGER,
	PRIMARY KEY (p, code, rid, sys, occ)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS token_about ON token (about, p, code, rid) WHERE about > 0;
CREATE TABLE IF NOT EXISTS text (p INTEGER, fold TEXT, rid INTEGER, form INTEGER, occ INTEGER, exact TEXT, rank INTEGER,
	PRIMARY KEY (p, fold, rid, form, occ, exact)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS date (p INTEGER, cls INTEGER, lo INTEGER, rid INTEGER, hi INTEGER, occ INTEGER, rank INTEGER,
	PRIMARY KEY (p, cls, lo, rid, hi, occ)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS date_rid ON date (rid, p);
CREATE INDEX IF NOT EXISTS date_end ON date (p, hi) WHERE cls = 1;
CREATE TABLE IF NOT EXISTS quantity (p INTEGER, lo REAL, rid INTEGER, hi REAL, sys INTEGER, unit INTEGER, occ INTEGER, rank INTEGER,
	PRIMARY KEY (p, lo, rid, hi, sys, unit, occ)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quantity_rid ON quantity (rid, p);
CREATE INDEX IF NOT EXISTS quantity_end ON quantity (p, hi);
CREATE TABLE IF NOT EXISTS ref (target INTEGER, p INTEGER, rid INTEGER, occ INTEGER,
	PRIMARY KEY (target, p, rid, occ)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ref_rid ON ref (rid, p);
CREATE TABLE IF NOT EXISTS url (p INTEGER, url TEXT, rid INTEGER, occ INTEGER,
	PRIMARY KEY (p, url, rid, occ)) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS feed (seq INTEGER PRIMARY KEY, rid INTEGER, nth INTEGER, kind INTEGER, sum INTEGER);
CREATE INDEX IF NOT EXISTS feed_kind ON feed (kind);
CREATE TABLE IF NOT EXISTS audit (
	seq INTEGER PRIMARY KEY, at INTEGER, who TEXT, action TEXT, subject TEXT, patient TEXT, outcome TEXT, rest BLOB, sum INTEGER
);
CREATE TABLE IF NOT EXISTS audit_term (segment INTEGER, term TEXT, seq INTEGER,
	PRIMARY KEY (segment, term, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chain (feed INTEGER, audit INTEGER, feed_hash BLOB, audit_hash BLOB, sum INTEGER,
	PRIMARY KEY (feed, audit)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS anchor (seq INTEGER PRIMARY KEY, hash BLOB, signature BLOB, at INTEGER);

CREATE TABLE IF NOT EXISTS reader (name TEXT PRIMARY KEY, seq INTEGER, at INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequence (name TEXT PRIMARY KEY, last INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (name TEXT PRIMARY KEY, owner TEXT, fence INTEGER, expires INTEGER) WITHOUT ROWID;
