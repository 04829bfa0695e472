import { Link } from "react-router";
import { Dialog } from "../parts/overlays";
import { SAMPLES } from "./samples";

/** The samples, each a link to the editor that begins with it. */
export default function SampleDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog open onClose={onClose} title="Start from a sample" wide>
      <ul className="grid gap-3 sm:grid-cols-2">
        {SAMPLES.map((one) => (
          <li key={one.name}>
            <Link
              to={`/definitions/new?sample=${one.name}`}
              className="block h-full rounded-[8px] border border-line p-3 hover:border-[var(--fill-accent)] hover:bg-raised"
            >
              <span className="block font-medium text-accent">{one.title}</span>
              <span className="block font-mono text-[12px] text-muted">{one.name}</span>
              <span className="mt-1 block text-muted">{one.description}</span>
            </Link>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
