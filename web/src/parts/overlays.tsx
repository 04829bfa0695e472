// Copied in and kept small: Base UI brings focus, keys and roles, this its look.
import { Dialog as Base } from "@base-ui/react/dialog";
import { Tabs as BaseTabs } from "@base-ui/react/tabs";
import { X } from "lucide-react";
import { useEffect, useRef, type ReactNode } from "react";
import { cx } from "./basics";

const BACKDROP = "fixed inset-0 z-40 bg-black/50";

export function Dialog({
  open,
  onClose,
  title,
  children,
  wide,
  once,
}: {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  wide?: boolean;
  /** It cannot be shown again: only its own button closes it. */
  once?: boolean;
}) {
  return (
    <Base.Root open={open} disablePointerDismissal={once} onOpenChange={(next) => !next && !once && onClose()}>
      <Base.Portal>
        <Base.Backdrop className={BACKDROP} />
        <Base.Popup
          className={cx(
            "fixed top-[12vh] left-1/2 z-50 max-h-[76vh] w-[calc(100vw-24px)] -translate-x-1/2 overflow-y-auto rounded-[8px] border border-line bg-card p-5 text-ink shadow-xl",
            wide ? "max-w-2xl" : "max-w-md",
          )}
        >
          <Base.Title className="mb-3 pr-8 text-[16px] font-semibold break-words">{title}</Base.Title>
          {children}
          {!once && (
            <Base.Close
              aria-label="Close the dialog"
              className="absolute top-3 right-3 grid size-9 place-items-center rounded-[8px] text-muted hover:bg-raised hover:text-ink"
            >
              <X size={17} aria-hidden />
            </Base.Close>
          )}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

export function Drawer({
  open,
  onClose,
  title,
  children,
}: {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
}) {
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Base.Portal>
        <Base.Backdrop className={BACKDROP} />
        <Base.Popup className="fixed inset-y-0 left-0 z-50 flex w-64 flex-col bg-side text-white">
          <Base.Title className="sr-only">{title}</Base.Title>
          {children}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

export interface Tab {
  id: string;
  title: ReactNode;
  content: ReactNode;
}

export function Tabs({
  tabs,
  value,
  onChange,
  label,
}: {
  tabs: Tab[];
  value: string;
  onChange: (id: string) => void;
  label: string;
}) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // On a phone the tab that is shown may be beyond the edge.
    list.current?.querySelector("[data-active]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [value]);
  return (
    <BaseTabs.Root value={value} onValueChange={(next) => onChange(String(next))}>
      <BaseTabs.List ref={list} aria-label={label} className="mb-4 flex gap-1 overflow-x-auto border-b border-line">
        {tabs.map((tab) => (
          <BaseTabs.Tab
            key={tab.id}
            value={tab.id}
            className="-mb-px border-b-2 border-transparent px-3 py-2 font-medium whitespace-nowrap text-muted hover:text-ink data-active:border-[var(--fill-accent)] data-active:text-ink"
          >
            {tab.title}
          </BaseTabs.Tab>
        ))}
      </BaseTabs.List>
      {tabs.map((tab) => (
        <BaseTabs.Panel key={tab.id} value={tab.id}>
          {tab.id === value ? tab.content : null}
        </BaseTabs.Panel>
      ))}
    </BaseTabs.Root>
  );
}
