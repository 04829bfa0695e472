import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { foldGutter, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.string, tags.content], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--warn)" },
  { tag: tags.comment, color: "var(--muted)" },
  { tag: tags.punctuation, color: "var(--muted)" },
]);

const LOOK = EditorView.theme({
  "&": { backgroundColor: "transparent", color: "var(--ink)", fontSize: "13px", maxHeight: "70vh" },
  ".cm-scroller": { fontFamily: "var(--font-mono, monospace)", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--muted)", borderRight: "1px solid var(--line)" },
  "&.cm-focused": { outline: "2px solid var(--fill-accent)", outlineOffset: "-2px" },
});

export interface Place {
  line: number;
  column: number;
}

/** YAML to read, or with `onChange` to write. `place` puts the cursor where a problem is. */
export default function Yaml({
  text,
  label = "YAML",
  onChange,
  place: wanted,
}: {
  text: string;
  label?: string;
  onChange?: (text: string) => void;
  place?: Place | null;
}) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const tell = useRef(onChange);
  tell.current = onChange;
  const isWritable = onChange !== undefined;
  useEffect(() => {
    const nonce = document.querySelector<HTMLElement>("script[nonce]")?.nonce ?? "";
    const made = new EditorView({
      parent: place.current!,
      state: EditorState.create({
        doc: text,
        extensions: [
          EditorView.cspNonce.of(nonce),
          EditorState.readOnly.of(!isWritable),
          EditorView.contentAttributes.of({
            "aria-label": label,
            tabindex: "0",
            ...(!isWritable && { "aria-readonly": "true" }),
          }),
          EditorView.editable.of(isWritable),
          EditorView.lineWrapping,
          lineNumbers(),
          foldGutter(),
          yaml(),
          syntaxHighlighting(COLOURS),
          LOOK,
          // Tab leaves the editor: whoever works by keyboard is not caught in it.
          EditorView.domEventHandlers({
            // Text typed over coloured text: the browser would keep the colours as inline styles, which the policy
            // refuses.
            beforeinput: (event, editor) => {
              const isTyped = event.inputType === "insertText" && !event.isComposing && event.data !== null;
              if (!isTyped || !isWritable || editor.state.selection.main.empty) return false;
              editor.dispatch(editor.state.replaceSelection(event.data!));
              return true;
            },
          }),
          isWritable ? [history(), keymap.of([...defaultKeymap, ...historyKeymap])] : [],
          EditorView.updateListener.of((update) => {
            if (update.docChanged) tell.current?.(update.state.doc.toString());
          }),
        ],
      }),
    });
    if (!isWritable) {
      made.contentDOM.setAttribute("role", "textbox");
      made.contentDOM.setAttribute("aria-multiline", "true");
    }
    view.current = made;
    return () => {
      view.current = null;
      made.destroy();
    };
    // What is written here comes back as `text`: it does not make another editor.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [isWritable ? null : text, isWritable, label]);
  useEffect(() => {
    const doc = view.current?.state.doc;
    if (!doc || !wanted || wanted.line > doc.lines) return;
    const line = doc.line(wanted.line);
    view.current!.dispatch({
      selection: { anchor: Math.min(line.from + wanted.column - 1, line.to) },
      scrollIntoView: true,
    });
    view.current!.focus();
  }, [wanted]);
  return <div ref={place} />;
}
