-- name: content_put
INSERT INTO content (ref, salt, body, media_type, created_ms, belongs_to)
VALUES (:ref, :salt, :body, :media_type, :now, :of)
ON CONFLICT (ref) DO NOTHING;

-- name: content_of
SELECT ref FROM content WHERE belongs_to = :of;

-- name: content_erase
-- What has no salt is public by nature: an envelope, a patch.
UPDATE content SET salt = NULL, body = NULL, erased_ms = :now
WHERE ref = :ref AND salt IS NOT NULL AND body IS NOT NULL;

-- name: content_get
SELECT salt, body FROM content WHERE ref = :ref;

-- name: plan_get
SELECT version, body, updated_ms, updated_by FROM plan WHERE one = 1;

-- name: plan_put
INSERT INTO plan (one, version, body, updated_ms, updated_by) VALUES (1, :version, :body, :updated_ms, :updated_by)
ON CONFLICT (one) DO UPDATE SET
    version = excluded.version, body = excluded.body, updated_ms = excluded.updated_ms, updated_by = excluded.updated_by
WHERE plan.version = excluded.version - 1;

-- name: draft_add
INSERT INTO draft (
    id, version, status, prompt_ref, content_ref, context_ref, work, provider, error, author,
    created_ms, updated_ms, decided_by, decision_reason, generated
) VALUES (
    :id, :version, :status, :prompt_ref, :content_ref, :context_ref, :work, :provider, :error, :author,
    :created_ms, :updated_ms, :decided_by, :decision_reason, :generated
);

-- name: draft_replace
UPDATE draft SET
    version = :version, status = :status, prompt_ref = :prompt_ref, content_ref = :content_ref,
    context_ref = :context_ref, work = :work, provider = :provider, error = :error, updated_ms = :updated_ms,
    decided_by = :decided_by, decision_reason = :decision_reason, generated = :generated
WHERE id = :id AND version = :seen_version;

-- name: draft_get
SELECT draft.*, prompt.body AS prompt, content.body AS content, context.body AS context
FROM draft
JOIN content AS prompt ON prompt.ref = draft.prompt_ref
JOIN content AS context ON context.ref = draft.context_ref
LEFT JOIN content ON content.ref = draft.content_ref
WHERE draft.id = :id;

-- name: draft_list
SELECT draft.*, prompt.body AS prompt, content.body AS content, context.body AS context
FROM draft
JOIN content AS prompt ON prompt.ref = draft.prompt_ref
JOIN content AS context ON context.ref = draft.context_ref
LEFT JOIN content ON content.ref = draft.content_ref
WHERE (:any_status = 1 OR draft.status = :status)
    AND (:from_newest = 1 OR draft.seq < (SELECT earlier.seq FROM draft AS earlier WHERE earlier.id = :before))
ORDER BY draft.seq DESC LIMIT :limit;

-- name: draft_version_add
INSERT INTO draft_version (draft_id, version, prompt_ref, content_ref, context_ref, work, written_ms)
VALUES (:draft_id, :version, :prompt_ref, :content_ref, :context_ref, :work, :written_ms);

-- name: draft_version_list
SELECT draft_version.*, prompt.body AS prompt, content.body AS content, context.body AS context
FROM draft_version
JOIN content AS prompt ON prompt.ref = draft_version.prompt_ref
JOIN content AS context ON context.ref = draft_version.context_ref
LEFT JOIN content ON content.ref = draft_version.content_ref
WHERE draft_version.draft_id = :draft_id AND draft_version.version < :before
ORDER BY draft_version.version DESC LIMIT :limit;

-- name: draft_written
SELECT leaf FROM event
WHERE subject = :draft_id AND substr(kind, 1, 6) = 'draft.' AND kind IN ('draft.created', 'draft.edited', 'draft.generated');

-- name: approved_add
-- An a_ id has its draft's ULID, so a second approval of one draft collides here, whatever raced before.
INSERT INTO approved (
    id, draft_id, digest, terms, prompt_ref, content_ref, context_ref, provider,
    approved_ms, approved_by, expires_ms, attestation, repository
) VALUES (
    :id, :draft_id, :digest, :terms, :prompt_ref, :content_ref, :context_ref, :provider,
    :approved_ms, :approved_by, :expires_ms, :attestation, :repository
) ON CONFLICT DO NOTHING;

-- name: approved_get
SELECT approved.*, prompt.body AS prompt, content.body AS content, context.body AS context
FROM approved
JOIN content AS prompt ON prompt.ref = approved.prompt_ref
JOIN content AS context ON context.ref = approved.context_ref
LEFT JOIN content ON content.ref = approved.content_ref
WHERE approved.id = :id;

-- name: approved_logged
-- What the log says was agreed to: rows can be altered together with their digest, the log can not.
SELECT leaf FROM event
WHERE subject = :draft_id AND substr(kind, 1, 6) = 'draft.' AND kind = 'draft.approved';

-- name: approved_list
SELECT approved.*, prompt.body AS prompt, content.body AS content, context.body AS context
FROM approved
JOIN content AS prompt ON prompt.ref = approved.prompt_ref
JOIN content AS context ON context.ref = approved.context_ref
LEFT JOIN content ON content.ref = approved.content_ref
WHERE (:from_newest = 1 OR approved.seq < (SELECT earlier.seq FROM approved AS earlier WHERE earlier.id = :before))
ORDER BY approved.seq DESC LIMIT :limit;

-- name: approved_before
-- The newest for a repository, of those that were approved before this draft was.
SELECT approved.id FROM approved
WHERE approved.repository = :repository AND approved.draft_id <> :draft_id
    AND NOT EXISTS (SELECT 1 FROM approved AS own WHERE own.draft_id = :draft_id AND own.seq < approved.seq)
ORDER BY approved.seq DESC LIMIT 1;

-- name: approved_revoke
UPDATE approved SET revoked_ms = :now, revoked_by = :revoked_by, revoke_reason = :reason
WHERE id = :id AND revoked_ms IS NULL;
