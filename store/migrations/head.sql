CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE blobs (
	digest VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	data BLOB NOT NULL, 
	PRIMARY KEY (digest)
);

CREATE TABLE calls (
	id VARCHAR NOT NULL, 
	run VARCHAR NOT NULL, 
	generation INTEGER, 
	lane INTEGER, 
	provider VARCHAR NOT NULL, 
	method VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	stream BOOLEAN NOT NULL, 
	started FLOAT NOT NULL, 
	first_byte FLOAT, 
	ended FLOAT, 
	status INTEGER, 
	error VARCHAR NOT NULL, 
	complete BOOLEAN NOT NULL, 
	stop_reason VARCHAR NOT NULL, 
	input INTEGER NOT NULL, 
	output INTEGER NOT NULL, 
	cache_read INTEGER NOT NULL, 
	cache_write INTEGER NOT NULL, 
	usd FLOAT, 
	request_digest VARCHAR NOT NULL, 
	tail VARCHAR, 
	answer VARCHAR, 
	overlay VARCHAR, 
	system VARCHAR, 
	tools VARCHAR, 
	parameters VARCHAR, 
	body VARCHAR, 
	request_headers VARCHAR NOT NULL, 
	response_headers VARCHAR NOT NULL, 
	response VARCHAR, 
	response_size INTEGER NOT NULL, base VARCHAR, timing VARCHAR, parent VARCHAR, protocol VARCHAR DEFAULT '' NOT NULL, conversation VARCHAR DEFAULT 'messages' NOT NULL, thread VARCHAR DEFAULT '' NOT NULL, notes VARCHAR DEFAULT '[]' NOT NULL, source VARCHAR DEFAULT '' NOT NULL, response_id VARCHAR DEFAULT '' NOT NULL, reasoning INTEGER DEFAULT '0' NOT NULL, attachments VARCHAR, 
	PRIMARY KEY (id)
);

CREATE TABLE commands (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	name VARCHAR NOT NULL, 
	data VARCHAR NOT NULL, 
	settled FLOAT, 
	applied BOOLEAN NOT NULL, 
	outcome VARCHAR
);

CREATE TABLE deletions (
	run VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (run)
);

CREATE VIRTUAL TABLE error_words USING fts5(text, content = '', tokenize = "unicode61");

CREATE TABLE events (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at FLOAT NOT NULL, 
	run VARCHAR NOT NULL, 
	generation INTEGER, 
	lane INTEGER, 
	kind VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	data VARCHAR NOT NULL
);

CREATE TABLE "nodes" (
	"key" VARCHAR NOT NULL, 
	parent VARCHAR, 
	depth INTEGER NOT NULL, 
	role VARCHAR NOT NULL, 
	message BLOB NOT NULL, 
	attachments VARCHAR, 
	PRIMARY KEY ("key")
);

CREATE TABLE observation_versions (
	run VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	author VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	PRIMARY KEY (run, version)
);

CREATE VIRTUAL TABLE passages USING fts5(
            text, call UNINDEXED, node UNINDEXED, block UNINDEXED, run UNINDEXED, generation UNINDEXED,
            lane UNINDEXED, role UNINDEXED, kind UNINDEXED,
            tokenize = "unicode61 remove_diacritics 2"
        );

CREATE TABLE runs (
	id VARCHAR NOT NULL, 
	title VARCHAR NOT NULL, 
	created FLOAT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE tape_nodes (
	node VARCHAR NOT NULL, 
	run VARCHAR NOT NULL, 
	generation INTEGER NOT NULL, 
	lane INTEGER NOT NULL, 
	call VARCHAR NOT NULL, 
	PRIMARY KEY (node, run, generation, lane)
)
 WITHOUT ROWID

;

CREATE TABLE virtual_keys (
	hash VARCHAR NOT NULL, 
	run VARCHAR NOT NULL, 
	generation INTEGER NOT NULL, 
	lane INTEGER NOT NULL, 
	created FLOAT NOT NULL, 
	revoked FLOAT, limits VARCHAR DEFAULT '{}' NOT NULL, 
	PRIMARY KEY (hash)
);

CREATE TABLE zones (
	upto INTEGER NOT NULL, 
	first INTEGER NOT NULL, 
	last INTEGER NOT NULL, 
	tools VARCHAR NOT NULL, 
	whos VARCHAR NOT NULL, 
	PRIMARY KEY (upto)
);

CREATE INDEX ix_calls_failed ON calls (started) WHERE generation IS NULL AND error != '';

CREATE INDEX ix_calls_paid ON calls (run, coalesce(generation, 0), coalesce(lane, 0), model, usd) WHERE parent IS NULL;

CREATE INDEX ix_calls_parent ON calls (parent, usd) WHERE parent IS NOT NULL;

CREATE INDEX ix_calls_response_id ON calls (response_id) WHERE response_id != '';

CREATE INDEX ix_calls_subagent ON calls (run, generation, lane, started);

CREATE INDEX ix_commands_run ON commands (run, id);

CREATE INDEX ix_events_answered ON events (run, generation, lane, seq, json_extract(data, '$.call')) WHERE kind = 'call.finished';

CREATE INDEX ix_events_beside ON events (run, seq) WHERE kind NOT IN ('turn.started', 'call.started', 'call.finished', 'tool.started', 'tool.finished', 'program.said');

CREATE INDEX ix_events_run ON events (run, seq);

CREATE INDEX ix_events_tools ON events (lower(json_extract(data, '$.name')), run, coalesce(generation, 0), coalesce(lane, 0), seq) WHERE kind = 'tool.started';

CREATE INDEX ix_events_turns ON events (run, generation, lane, coalesce(json_extract(data, '$.under'), ''), seq) WHERE kind = 'turn.started';

CREATE INDEX ix_events_wrong ON events (seq, run, generation, lane, lower(json_extract(data, '$.name'))) WHERE ((kind = 'tool.finished' AND (instr(data, '"ok":false') OR instr(data, '"ok": false') OR instr(data, 'exit code') OR instr(data, 'timed out'))) OR (kind = 'call.finished' AND NOT instr(data, '"error":""')) OR kind IN ('alert', 'subagent.ended', 'subagent.checked'));

CREATE INDEX ix_nodes_attachments ON nodes (attachments) WHERE attachments IS NOT NULL;

CREATE INDEX ix_virtual_keys_run ON virtual_keys (run);

PRAGMA application_id = 1297371723;

INSERT INTO alembic_version VALUES ('0009');
