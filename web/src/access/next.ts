/** Where to go after signing in: a page of this application, never another site. */
export function nextOf(text: string | null): string {
  if (text === null || !/^\/(?![/\\])/.test(text) || text.startsWith("/login")) return "/runs";
  return text;
}
