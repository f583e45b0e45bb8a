import { Copy } from "../../parts/Copy";
import { Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { Table } from "../../parts/Table";
import type { LogKey } from "../../types";
import { useLogKeys } from "../../useOpsService";

function standing(key: LogKey): readonly [tone: "good" | "bad" | "still", words: string] {
  if (key.revoked_from !== null) return ["bad", `revoked from entry ${key.revoked_from} on`];
  if (key.until_index !== null) return ["still", `retired from entry ${key.until_index} on`];
  return ["good", "counts"];
}

/** Every key that the log told of: whose, for what, from which entry to which. */
export function Keys() {
  const keys = useLogKeys();
  return (
    <Section title="Keys">
      {keys.error ? <Failure of={keys.error} again={() => void keys.refetch()} /> : null}
      {keys.data?.length === 0 ? (
        <p className="hint">The log has told of no key yet. `interlock init` on its folder tells it.</p>
      ) : null}
      {keys.data?.length ? (
        <Table
          label="Table of keys"
          className="evidence-keys"
          heads={["key", "owner", "for", "from entry", "standing", "why"]}
        >
          {keys.data.map((key) => {
            const [tone, words] = standing(key);
            return (
              <tr key={key.vkey}>
                <td>
                  {key.name} <code>{key.keyid}</code> <Copy text={key.vkey} what={`the verifier key ${key.keyid}`} />
                </td>
                <td>{key.owner}</td>
                <td>{key.role ? `${key.purpose}, ${key.role}` : key.purpose}</td>
                <td>{key.from_index}</td>
                <td>
                  <span className="badge" data-tone={tone}>
                    {words}
                  </span>
                </td>
                <td>{key.reason || "—"}</td>
              </tr>
            );
          })}
        </Table>
      ) : null}
    </Section>
  );
}
