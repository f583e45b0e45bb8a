-- name: pipeline_add
INSERT INTO pipeline (id, name, status, revision, document) VALUES (:id, :name, :status, :revision, :document);

-- name: pipeline_get
SELECT document FROM pipeline WHERE id = :id;

-- name: pipeline_replace
UPDATE pipeline SET status = :status, revision = :revision, document = :document
WHERE id = :id AND revision = :seen;

-- name: pipeline_list
SELECT document FROM pipeline
WHERE (:any_name = 1 OR name = :name) AND (:any_status = 1 OR status = :status)
    AND (:from_newest = 1 OR seq < (SELECT earlier.seq FROM pipeline AS earlier WHERE earlier.id = :before))
ORDER BY seq DESC LIMIT :limit;

-- name: pipeline_line_numbers
-- Takes the next numbers of a run's log; jobs beside each other wait here for one another, and none takes one twice.
UPDATE pipeline SET line_count = line_count + :lines WHERE id = :id RETURNING line_count;

-- name: pipeline_line_add
INSERT INTO pipeline_line (pipeline_id, line, job, stream, time_ms, text)
VALUES (:pipeline_id, :line, :job, :stream, :time_ms, :text);

-- name: pipeline_lines
SELECT line, job, stream, time_ms, text FROM pipeline_line
WHERE pipeline_id = :pipeline_id AND line > :after AND (:any_job = 1 OR job = :job)
ORDER BY line LIMIT :limit;

-- name: deployment_add
INSERT INTO deployment (id, name, environment, status, revision, document)
VALUES (:id, :name, :environment, :status, :revision, :document);

-- name: deployment_get
SELECT document FROM deployment WHERE id = :id;

-- name: deployment_history
SELECT leaf FROM sealed WHERE subject = :id ORDER BY leaf_index DESC LIMIT :limit;

-- name: deployment_replace
UPDATE deployment SET status = :status, revision = :revision, document = :document
WHERE id = :id AND revision = :seen;

-- name: deployment_list
SELECT document FROM deployment
WHERE (:any_name = 1 OR name = :name)
    AND (:from_newest = 1 OR seq < (SELECT earlier.seq FROM deployment AS earlier WHERE earlier.id = :before))
ORDER BY seq DESC LIMIT :limit;

-- name: deployment_current
SELECT document FROM deployment
WHERE name = :name AND environment = :environment AND status = 'Success'
ORDER BY seq DESC LIMIT 1;

-- name: acceptance_get
SELECT document FROM acceptance WHERE name = :name;

-- name: acceptance_put
INSERT INTO acceptance (name, document) VALUES (:name, :document)
ON CONFLICT (name) DO UPDATE SET document = excluded.document;

-- name: pipeline_role_list
SELECT name, agent_id, description FROM pipeline_role ORDER BY name;

-- name: pipeline_role_put
INSERT INTO pipeline_role (name, agent_id, description) VALUES (:name, :agent_id, :description)
ON CONFLICT (name) DO UPDATE SET agent_id = excluded.agent_id, description = excluded.description;

-- name: pipeline_role_remove
DELETE FROM pipeline_role WHERE name = :name;
