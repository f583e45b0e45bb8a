-- name: far_batch_take
-- No row comes back for a batch that was written already.
INSERT INTO far_log (item_id, fence, batch, chars) VALUES (:item_id, :fence, :batch, :chars)
ON CONFLICT (item_id) DO UPDATE SET
    fence = excluded.fence, batch = excluded.batch,
    chars = CASE WHEN far_log.fence = excluded.fence THEN far_log.chars + excluded.chars ELSE excluded.chars END
WHERE far_log.fence < excluded.fence OR (far_log.fence = excluded.fence AND far_log.batch < excluded.batch)
RETURNING chars;

-- name: far_part_put
INSERT INTO far_part (item_id, fence, ref, place, data) VALUES (:item_id, :fence, :ref, :place, :data)
ON CONFLICT (item_id, fence, ref, place) DO NOTHING;

-- name: far_parts_bytes
SELECT CAST(COALESCE(SUM(LENGTH(data)), 0) AS BIGINT) AS bytes FROM far_part WHERE item_id = :item_id AND fence = :fence;

-- name: far_parts
SELECT data FROM far_part WHERE item_id = :item_id AND fence = :fence AND ref = :ref ORDER BY place;

-- name: far_sweep_parts
DELETE FROM far_part WHERE NOT EXISTS (
    SELECT 1 FROM queue_items
    WHERE queue_items.id = far_part.item_id AND queue_items.fence = far_part.fence
        AND queue_items.status = 'IN_PROGRESS'
);

-- name: far_sweep_log
DELETE FROM far_log WHERE NOT EXISTS (
    SELECT 1 FROM queue_items
    WHERE queue_items.id = far_log.item_id AND queue_items.fence = far_log.fence AND queue_items.status = 'IN_PROGRESS'
);
