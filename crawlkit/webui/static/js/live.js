// What the server pushes: one object of keys and values, kept up to date.
import { base, query } from "./api.js";

/**
 * Follows a topic. `onChange(state, changed)`: `state` is a Map of everything, `changed` the keys that changed or went.
 * `onProblem(problem | null)`: the server says that it cannot tell now, or null when it can again.
 * Returns a function that ends it. A hidden page is not sent anything.
 */
export function live(topic, params, onChange, onProblem = () => {}) {
  const state = new Map();
  let source = null;
  let ended = false;

  function open() {
    if (ended || source) return;
    source = new EventSource(`${base}/api/v1/live/${topic}${query(params)}`);
    let fresh = true;
    source.addEventListener("change", (event) => {
      const { set, remove } = JSON.parse(event.data);
      const changed = new Set([...Object.keys(set), ...remove]);
      if (fresh) {
        for (const key of state.keys()) if (!(key in set)) { state.delete(key); changed.add(key); }
        fresh = false;
      }
      for (const key of remove) state.delete(key);
      for (const [key, value] of Object.entries(set)) state.set(key, value);
      onProblem(null);
      onChange(state, changed);
    });
    source.addEventListener("problem", (event) => onProblem(JSON.parse(event.data)));
    source.addEventListener("leave", () => { close(); location.reload(); });
    source.addEventListener("error", () => {
      onProblem({ status: 0, title: "offline", detail: "" });
      fresh = true;
      if (source?.readyState === EventSource.CLOSED) { close(); setTimeout(() => document.hidden || open(), 3000); }
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  const onVisibility = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", onVisibility);
  open();
  return () => {
    ended = true;
    close();
    document.removeEventListener("visibilitychange", onVisibility);
  };
}
