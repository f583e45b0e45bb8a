import { useQueryClient } from "@tanstack/react-query";
import { client } from "../../api/client";
import { useTheme } from "../../theme";
import type { Me } from "../../types";

/** Who is logged in, the colours, and the way out. */
export function SessionMenu({ me }: { me: Me }) {
  const queries = useQueryClient();
  const [theme, nextTheme] = useTheme();

  async function logOut() {
    await client.DELETE("/ops/session").catch(() => undefined);
    queries.clear(); // nothing of one person's stays for the next
    globalThis.location.assign("/");
  }

  return (
    <div className="session">
      <span className="who" title={`role: ${me.role}`}>
        {me.id} <span className="small">{me.role}</span>
      </span>
      <button type="button" className="quiet" onClick={nextTheme}>
        colours: {theme}
      </button>
      {me.session ? (
        <button type="button" className="quiet" onClick={() => void logOut()}>
          Log out
        </button>
      ) : null}
    </div>
  );
}
