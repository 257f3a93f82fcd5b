BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0010');
CREATE TABLE appliances (
	name TEXT NOT NULL, 
	public TEXT NOT NULL, 
	sealing TEXT NOT NULL, 
	zone TEXT NOT NULL, 
	release TEXT NOT NULL, 
	invitation TEXT NOT NULL, 
	enrolled_at DOUBLE NOT NULL, 
	revoked_at DOUBLE, 
	PRIMARY KEY (name, public)
)
 WITHOUT ROWID

;
CREATE TABLE approvals (
	url TEXT NOT NULL, 
	user TEXT NOT NULL, 
	secret_id BIGINT NOT NULL, 
	run TEXT NOT NULL, 
	vault TEXT NOT NULL, 
	secret TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	"after" BIGINT NOT NULL, 
	request BIGINT NOT NULL, 
	ours BOOLEAN NOT NULL, 
	PRIMARY KEY (url, user, secret_id, run)
)
 WITHOUT ROWID

;
CREATE TABLE attempts (
	run TEXT NOT NULL, 
	job TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	lease TEXT NOT NULL, 
	dispatched_at DOUBLE NOT NULL, 
	tried JSON NOT NULL, 
	ended_at DOUBLE, 
	appliance TEXT, 
	reason TEXT, 
	status TEXT, 
	evidence TEXT, 
	PRIMARY KEY (run, job, attempt)
);
INSERT INTO "attempts" VALUES('r1','j1',1,'j1-1',1001.0,'[]',1003.0,'dmz-1','PASSED','Passed','{"phase":"logoff","signal":{"kind":"ok","name":"","bases":[]},"text":"","facts":{},"record":"Unix","submitted":true,"reread":"not-done","views":[],"started_at":1001.5,"phases":[]}');
INSERT INTO "attempts" VALUES('r1','j2',1,'j2-1',1001.0,'[]',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE check_outs (
	url TEXT NOT NULL, 
	user TEXT NOT NULL, 
	secret_id BIGINT NOT NULL, 
	run TEXT NOT NULL, 
	vault TEXT NOT NULL, 
	zone TEXT NOT NULL, 
	secret TEXT NOT NULL, 
	ours BOOLEAN NOT NULL, 
	PRIMARY KEY (url, user, secret_id, run)
)
 WITHOUT ROWID

;
INSERT INTO "check_outs" VALUES('https://v','svc',9,'r1','Vault','default','s',1);
CREATE TABLE compatibility (
	compatible_from TEXT NOT NULL, 
	PRIMARY KEY (compatible_from)
);
INSERT INTO "compatibility" VALUES('0010');
CREATE TABLE cursors (
	run TEXT NOT NULL, 
	name TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	PRIMARY KEY (run, name)
)
 WITHOUT ROWID

;
INSERT INTO "cursors" VALUES('r1','unix/default',2);
CREATE TABLE host_keys (
	address TEXT NOT NULL, 
	port INTEGER NOT NULL, 
	algorithm TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	run TEXT NOT NULL, 
	PRIMARY KEY (address, port, algorithm)
)
 WITHOUT ROWID

;
INSERT INTO "host_keys" VALUES('10.0.0.1',22,'ssh-ed25519','ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA','r1');
CREATE TABLE invitations (
	id TEXT NOT NULL, 
	zone TEXT NOT NULL, 
	enrolments INTEGER NOT NULL, 
	used INTEGER NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID

;
CREATE TABLE jobs (
	run TEXT NOT NULL, 
	job TEXT NOT NULL, 
	technology TEXT NOT NULL, 
	address TEXT NOT NULL, 
	host TEXT NOT NULL, 
	fqdn TEXT NOT NULL, 
	domain TEXT NOT NULL, 
	sort_key TEXT NOT NULL, 
	records JSON NOT NULL, 
	PRIMARY KEY (run, job)
)
 WITHOUT ROWID

;
INSERT INTO "jobs" VALUES('r1','j1','unix','10.0.0.1','','','','40a000001','[["Unix", "scan", "Vault", "s", 22, "scan@host:10.0.0.1", []]]');
INSERT INTO "jobs" VALUES('r1','j2','unix','10.0.0.2','','','','40a000002','[["Unix", "scan", "Vault", "s", 22, "scan@host:10.0.0.1", []]]');
CREATE TABLE outcomes (
	run TEXT NOT NULL, 
	job TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	technology TEXT NOT NULL, 
	status TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	finished_at DOUBLE NOT NULL, 
	evidence TEXT, 
	PRIMARY KEY (run, job)
)
 WITHOUT ROWID

;
INSERT INTO "outcomes" VALUES('r1','j1',1,'unix','Passed','PASSED',1003.0,NULL);
CREATE TABLE permits (
	id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	authority TEXT NOT NULL, 
	user TEXT NOT NULL, 
	run TEXT NOT NULL, 
	job TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	cause TEXT NOT NULL, part TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "permits" VALUES(1,'granted','host:10.0.0.1','scan','r1','j1',1,1002.0,1040.0,'','');
CREATE TABLE remainders (
	run TEXT NOT NULL, 
	cursor TEXT NOT NULL, 
	first BIGINT NOT NULL, 
	behind BIGINT NOT NULL, 
	technology TEXT NOT NULL, 
	status TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	finished_at DOUBLE NOT NULL, 
	evidence TEXT NOT NULL, 
	PRIMARY KEY (run, cursor)
)
 WITHOUT ROWID

;
CREATE TABLE runs (
	id TEXT NOT NULL, 
	campaign TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	state TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	snapshot JSON NOT NULL, 
	planned BIGINT NOT NULL, 
	parent TEXT, 
	finished_at DOUBLE, spent JSON, held JSON, priority INTEGER, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('r1','quarterly',1000.0,'running',42,'{"schema": 1, "campaign": {"name": "quarterly", "priority": 10, "gate": [], "vaults": [{"title": "Vault", "type": "Thycotic Secret Server", "url": "https://vault.example/SecretServer", "user": "svc", "password": {"env": "X"}, "api": "rest", "tls": {"verify": true, "pin": [], "plain_http": false}, "check_out": true, "fetch": "per-target", "max_age": "60s", "approval": "fail", "approval_wait": "1800s", "approval_window": "14400s"}], "records": [{"title": "Unix", "login_type": "vault", "user": "scan", "vault": "Vault", "secret": {"name": "s"}, "ips": ["10.0.0.1-10.0.0.3"], "accounts": "local", "failure_budget": 2, "failure_window": "1800s", "technology": "unix", "port": 22, "private_key": false, "fallback": [], "root_delegation": {"type": "none"}, "host_keys": "tofu", "crypto": "compat"}], "targets": {"include": [{"address": "10.0.0.1-10.0.0.3"}], "exclude": []}, "pace": {"retries": 1, "deadline": "30s", "per_subnet": 0, "vault_requests": 8, "vault_patience": "120s", "throttle_patience": "300s", "capacity": 256, "zone": "default"}, "windows": []}, "vaults": [{"title": "Vault", "type": "Thycotic Secret Server"}], "selection": {"sample": ""}, "host_marks": {}, "jump_marks": {}}',3,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE schedules (
	campaign TEXT NOT NULL, 
	fired_at DOUBLE NOT NULL, 
	PRIMARY KEY (campaign)
)
 WITHOUT ROWID

;
CREATE TABLE searches (
	id INTEGER NOT NULL, 
	run TEXT NOT NULL, 
	begun_at DOUBLE NOT NULL, 
	ended_at DOUBLE, 
	PRIMARY KEY (id)
);
CREATE TABLE stops (
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	vault TEXT NOT NULL, 
	since DOUBLE NOT NULL, 
	"by" TEXT NOT NULL, 
	why TEXT NOT NULL, 
	PRIMARY KEY (kind, name, vault)
)
 WITHOUT ROWID

;
CREATE TABLE unlisted (
	run TEXT NOT NULL, 
	token TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	PRIMARY KEY (run)
)
 WITHOUT ROWID

;
CREATE TABLE vault_logins (
	title TEXT NOT NULL, 
	encrypted TEXT NOT NULL, 
	changed_at DOUBLE NOT NULL, 
	PRIMARY KEY (title)
)
 WITHOUT ROWID

;
CREATE INDEX jobs_in_order ON jobs (run, sort_key, job);
CREATE INDEX ix_permits_at ON permits (at);
CREATE UNIQUE INDEX appliances_by_name ON appliances (name) WHERE revoked_at IS NULL;
COMMIT;
