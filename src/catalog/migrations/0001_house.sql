CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  severity TEXT NOT NULL,
  device TEXT,
  transition TEXT NOT NULL,
  text TEXT NOT NULL,
  evidence TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_device ON events (device, id);

CREATE TABLE images (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device TEXT NOT NULL,
  barcode TEXT NOT NULL,
  serial TEXT,
  started_ms INTEGER NOT NULL,
  whole INTEGER NOT NULL,
  identity TEXT NOT NULL
) STRICT;
CREATE INDEX images_by_barcode ON images (barcode);

CREATE TABLE drives (
  serial TEXT PRIMARY KEY,
  drive INTEGER NOT NULL,
  failed_ms INTEGER,
  failure TEXT,
  evidence TEXT,
  score REAL NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE settings (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;
