-- A table in memory: rows of all lengths inserted, indexed, joined, changed.
PRAGMA cache_size = -65536;
CREATE TABLE item (id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, body BLOB);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO item
SELECT i, (i * 7919) % 997, printf('item %08d', (i * 104729) % 1000003),
       zeroblob(20 + (i * 31) % 400 + CASE i % 500 WHEN 0 THEN 20000 ELSE 0 END)
FROM n;
COMMIT;
CREATE INDEX by_kind ON item (kind, name);
CREATE INDEX by_name ON item (name);
SELECT count(*), sum(length(body)), min(name), max(name) FROM item;
SELECT kind, count(*) AS many, group_concat(name, ',') FROM item GROUP BY kind
ORDER BY many DESC, kind LIMIT 5;
SELECT count(*) FROM item a JOIN item b ON b.kind = a.kind AND b.name < a.name WHERE a.id % 50 = 0;
SELECT sum(length(replace(name, '0', 'zero'))) FROM item;
SELECT name FROM item WHERE name LIKE '%777%' ORDER BY body, name LIMIT 3;
UPDATE item SET body = zeroblob(length(body) * 2) WHERE id % 3 = 0;
DELETE FROM item WHERE kind % 4 = 1;
SELECT count(*), sum(length(body)) FROM item;
