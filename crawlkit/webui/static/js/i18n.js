// Texts of the interface, in the page's language.
import { base } from "./api.js";

const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const texts = await fetch(`${base}/texts/${language}.json`).then((answer) => (answer.ok ? answer.json() : {}), () => ({}));

/** A text with its {names} filled in; the key itself when there is none. */
export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

export const locale = language === "zh" ? "zh-Hans" : "en";
export const number = new Intl.NumberFormat(locale).format;
