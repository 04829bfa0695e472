import { useEffect } from "react";
import { useNavigate } from "react-router";
import { PAGES } from "./pages";

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** `/` or Ctrl+K opens the command box, `?` the list of keys, and `g` with a letter goes to a page. */
export function useKeys(openBox: () => void, openHelp: () => void): void {
  const navigate = useNavigate();
  useEffect(() => {
    let waiting = 0;
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        openBox();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === "/") {
        event.preventDefault();
        openBox();
      } else if (event.key === "?") openHelp();
      else if (event.key === "g") waiting = Date.now();
      else if (waiting && Date.now() - waiting < 1_500) {
        waiting = 0;
        const page = PAGES.find((each) => each.key === event.key);
        if (page) void navigate(page.path);
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, openBox, openHelp]);
}
