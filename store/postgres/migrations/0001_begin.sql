-- The tables of package store/postgres. Times are Unix seconds; a bucket is the
-- end that an id begins with, and the rest of the id is 128 random bits. Texts
-- are bytea because they may hold any byte.
--
-- No rotation changes an indexed column, so that PostgreSQL rewrites a row in its
-- own page (HOT) and no index grows: add no index to sessions or documents.

CREATE TABLE meta (
	one       boolean PRIMARY KEY DEFAULT true CHECK (one),
	version   integer NOT NULL,                          -- of this schema
	store     uuid    NOT NULL DEFAULT gen_random_uuid(), -- names what was restored elsewhere
	retired   bigint  NOT NULL DEFAULT 0,                -- nothing up to this bucket is read or written
	read_only text                                       -- the reason, if no write is taken
);
INSERT INTO meta (version) VALUES (0);

CREATE TABLE sessions (
	bucket     bigint  NOT NULL,
	id         uuid    NOT NULL,
	ends       bigint  NOT NULL,
	generation bigint  NOT NULL,
	ended      boolean NOT NULL,
	client     bytea   NOT NULL,
	subject    bytea   NOT NULL,
	data       bytea   NOT NULL,
	PRIMARY KEY (bucket, id)
) PARTITION BY RANGE (bucket);

CREATE TABLE documents (
	bucket  bigint NOT NULL,
	id      uuid   NOT NULL,
	kind    bytea  NOT NULL,
	ends    bigint NOT NULL,
	version bigint NOT NULL,
	data    bytea  NOT NULL,
	PRIMARY KEY (bucket, id, kind)
) PARTITION BY RANGE (bucket);

CREATE TABLE marks (
	bucket bigint NOT NULL,
	id     uuid   NOT NULL,
	PRIMARY KEY (bucket, id)
) PARTITION BY RANGE (bucket);

-- The id is a hash of the content, so that adding twice is adding once. xid is
-- the transaction that added it: the feed goes by what a snapshot could see.
CREATE TABLE revocations (
	bucket bigint NOT NULL,
	id     uuid   NOT NULL,
	xid    xid8   NOT NULL DEFAULT pg_current_xact_id(),
	kind   bytea  NOT NULL,
	value  bytea  NOT NULL,
	before bigint,           -- Unix nanoseconds
	ends   bigint NOT NULL,
	PRIMARY KEY (bucket, id)
) PARTITION BY RANGE (bucket);
CREATE INDEX ON revocations (xid);

CREATE TABLE registry (
	key     bytea  PRIMARY KEY,
	version bigint NOT NULL,
	value   bytea            -- null: removed
);

-- The trigger of a store that is read only. It does not exist otherwise.
CREATE FUNCTION refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'LC001', MESSAGE = (SELECT coalesce(read_only, '') FROM meta);
END $$;
