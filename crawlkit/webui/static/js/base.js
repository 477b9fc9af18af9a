// What every page has: theme, language, shortcuts between pages, times that stay true.
import { $, $$, meta } from "./dom.js";
import { url } from "./api.js";
import { key, showKeys } from "./keys.js";
import { keepTimes } from "./time.js";
import { toast } from "./toast.js";
import { t } from "./i18n.js";

const PAGES = { p: "/", t: "/tasks", f: "/failures", r: "/results", l: "/logs", q: "/queues", n: "/nodes" };

function nextTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("crawlkit.theme", root.dataset.theme); } catch { /* it holds for this page only */ }
  document.dispatchEvent(new CustomEvent("themechange"));
}

async function otherLanguage() {
  const language = document.documentElement.lang.startsWith("zh") ? "en" : "zh";
  await fetch(url("/language"), { method: "POST", headers: { "X-CSRF-Token": meta("csrf") }, body: new URLSearchParams({ language }) });
  location.reload();
}

const ACTIONS = { theme: nextTheme, language: otherLanguage, keys: showKeys };
for (const button of $$("[data-action]")) if (ACTIONS[button.dataset.action]) button.addEventListener("click", ACTIONS[button.dataset.action]);

let told = null;
document.addEventListener("signedout", () => {
  told?.();
  told = toast(t("base.signed_out"), { kind: "bad", action: { label: t("access.sign_in"), run: () => window.open(url("/login")) } });
});

key("?", t("keys.help"), showKeys);
key("/", t("keys.search"), () => $("[data-search]")?.focus());
let first = true;
for (const [letter, path] of Object.entries(PAGES)) {
  key(`g ${letter}`, first ? t("keys.goto") : "", () => location.assign(url(path)));
  first = false;
}
$(".mainnav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
keepTimes();
