import { useEffect } from "react";

/** Has the tab of the browser say what is shown; null: its page says so. */
export function useTitle(title: string | null | undefined): void {
  useEffect(() => {
    if (title) document.title = `${title} · Streamflow`;
  }, [title]);
}
