-- name: once_clear
DELETE FROM made_once WHERE made_ms < :before;

-- name: once_add
INSERT INTO made_once (principal, route, key, request, subject, made_ms)
VALUES (:principal, :route, :key, :request, :subject, :now)
ON CONFLICT DO NOTHING;

-- name: once_get
SELECT request, subject FROM made_once
WHERE principal = :principal AND route = :route AND key = :key AND made_ms >= :since;
