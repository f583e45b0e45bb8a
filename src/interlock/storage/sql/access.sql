-- name: token_add
INSERT INTO access_token (
    id, name, kind, principal, role, digest, created_ms, created_by, expires_ms, expiry_told
) VALUES (:id, :name, :kind, :principal, :role, :digest, :created_ms, :created_by, :expires_ms, 0);

-- name: token_get
SELECT * FROM access_token WHERE id = :id;

-- name: token_list
SELECT * FROM access_token ORDER BY created_ms DESC, id DESC;

-- name: token_rotate
UPDATE access_token
SET previous_digest = CASE WHEN CAST(:previous_until AS BIGINT) IS NULL THEN NULL ELSE digest END,
    previous_until_ms = :previous_until, digest = :digest, rotated_ms = :now
WHERE id = :id AND revoked_ms IS NULL;

-- name: token_revoke
UPDATE access_token SET revoked_ms = :now, revoked_by = :revoked_by, previous_digest = NULL
WHERE id = :id AND revoked_ms IS NULL;

-- name: token_used
UPDATE access_token SET last_used_ms = :now WHERE id = :id;

-- name: token_expiry_told
UPDATE access_token SET expiry_told = 1 WHERE id = :id AND expiry_told = 0;

-- name: session_add
INSERT INTO access_session (id, digest, token_id, token_digest, opened_ms, seen_ms)
VALUES (:id, :digest, :token_id, :token_digest, :opened_ms, :seen_ms);

-- name: session_get
SELECT * FROM access_session WHERE id = :id;

-- name: session_seen
UPDATE access_session SET seen_ms = :now WHERE id = :id;

-- name: session_end
DELETE FROM access_session WHERE id = :id;

-- name: session_end_all
DELETE FROM access_session WHERE token_id = :token_id;

-- name: session_clear
DELETE FROM access_session WHERE opened_ms <= :opened_before OR seen_ms <= :seen_before;

-- name: panic_get
SELECT * FROM panic;

-- name: panic_clear
DELETE FROM panic;

-- name: panic_put
INSERT INTO panic (one, raised_by, reason, since_ms) VALUES (1, :raised_by, :reason, :since_ms);
