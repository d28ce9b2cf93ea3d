-- Rows of the identity database of the first release (migration 0001), for SQLite and PostgreSQL.
INSERT INTO "user" ("seq", "id", "username", "password_hash", "created_at")
  VALUES (1, '53dfcbe9-f6bc-5f7c-8fb0-1d3528f63cd7', 'ada@example.org', '$argon2id$v=19$m=65536,t=3,p=4$SnbOSWjKzbjWnqHTowY7iA$Z2xQGRslIvV7VfUxwmMOP0vFIUuyC8jRKxq5yCfoImQ', 1760000000000000);
INSERT INTO "user" ("seq", "id", "username", "password_hash", "created_at")
  VALUES (2, '03a5032e-3bff-522a-903b-f9fcdcfc7135', 'boss@example.org', '$argon2id$v=19$m=65536,t=3,p=4$uGiFiMuBQKVuaVenwCsxCw$8v/OQ5R/HlhXSwuE42C55+lHYaR0xPIOdRx04K97KI8', 1760000000000000);
INSERT INTO "project" ("seq", "id", "name", "queue_priority", "created_at")
  VALUES (1, '95fb5691-091f-5190-bed4-30239ab4c501', 'Rydberg''s "own"', 'HIGH', 1760000000000000);
INSERT INTO "project" ("seq", "id", "name", "queue_priority", "created_at")
  VALUES (2, 'c264f587-b9c3-574a-8c67-e817ff07a913', 'default', 'MEDIUM', 1760000000000000);
INSERT INTO "membership" ("seq", "user_id", "project_id", "role", "created_at")
  VALUES (1, '53dfcbe9-f6bc-5f7c-8fb0-1d3528f63cd7', '95fb5691-091f-5190-bed4-30239ab4c501', 'member', 1760000000000000);
INSERT INTO "membership" ("seq", "user_id", "project_id", "role", "created_at")
  VALUES (2, '53dfcbe9-f6bc-5f7c-8fb0-1d3528f63cd7', 'c264f587-b9c3-574a-8c67-e817ff07a913', 'member', 1760000000000000);
INSERT INTO "membership" ("seq", "user_id", "project_id", "role", "created_at")
  VALUES (3, '03a5032e-3bff-522a-903b-f9fcdcfc7135', '95fb5691-091f-5190-bed4-30239ab4c501', 'operator', 1760000000000000);
