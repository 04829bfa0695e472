import { lazy, useState, type ComponentType } from "react";

export interface Chunk<P extends object> {
  (props: P): React.ReactNode;
  /** Loads it, so that it is shown without a placeholder: React shows one that has begun for 300 ms at least. */
  load: () => Promise<void>;
}

/** A component with its code in a file of its own. Shown below a Suspense, for where it is not loaded yet. */
export function chunk<P extends object>(code: () => Promise<{ default: ComponentType<P> }>): Chunk<P> {
  const Lazy = lazy(code) as unknown as ComponentType<P>;
  let loaded: ComponentType<P> | null = null;
  function Chunked(props: P) {
    const [Known] = useState<ComponentType<P>>(() => loaded ?? Lazy); // it stays what it is while it is shown
    return <Known {...props} />;
  }
  // What cannot be loaded is told where it is shown.
  Chunked.load = () =>
    code().then(
      (found) => void (loaded = found.default),
      () => undefined,
    );
  return Chunked;
}
