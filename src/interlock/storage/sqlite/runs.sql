-- name: log_search
SELECT line FROM run_log
WHERE run_id = :run_id AND line > :after AND line <= :until AND msg LIKE :pattern ESCAPE '!'
ORDER BY line LIMIT :limit;
