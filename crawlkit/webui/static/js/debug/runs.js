// One run of one step: started, followed to its end, stopped. The script that runs is the one in the editor.
import { get, post } from "../api.js";

const OVER = new Set(["done", "stopped"]);
const FIRST_WAIT = 1; // seconds; a quick step is answered at once
const NEXT_WAIT = 10;

/** Runs, checks and whatever else has a state that changes. `start()` gives the first state. */
export async function follow(project, start, said, signal) {
  let state = await start();
  said(state);
  while (!OVER.has(state.state)) {
    state = await get(`/projects/${project}/debug/${state.run}`, { wait: NEXT_WAIT, seen: state.step }, signal);
    said(state);
  }
  return state;
}

/** A step; resolves with its last state. */
export function runStep(project, { script, task, page }, said) {
  return follow(project, () => post(`/projects/${project}/debug`, { script, task, page, wait: FIRST_WAIT }), said);
}

/** What saving `script` would change on the pages that are kept. */
export function runCheck(project, script, said) {
  return follow(project, () => post(`/projects/${project}/check`, { script, wait: FIRST_WAIT }), said);
}

export const stopRun = (project, run) => post(`/projects/${project}/debug/${run}/stop`);
