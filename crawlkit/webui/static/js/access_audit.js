// Who changed what.
import { $, h } from "./dom.js";
import { get } from "./api.js";
import { mountTable } from "./table.js";
import { when } from "./time.js";
import { t } from "./i18n.js";

const instant = (local) => (local ? new Date(local).getTime() / 1000 : undefined);

mountTable($("#audit"), {
  load: ({ since, until, ...rest }, signal) => get("/audit", { ...rest, since: instant(since), until: instant(until) }, signal),
  empty: t("access.no_entries"), label: t("access.audit"), limit: 100,
  filters: [
    { name: "text", label: t("access.search"), type: "search" },
    { name: "user", label: t("access.who") },
    { name: "action", label: t("access.what"), placeholder: "user." },
    { name: "project", label: t("access.project") },
    { name: "since", label: t("access.since"), type: "datetime-local" },
    { name: "until", label: t("access.until"), type: "datetime-local" },
  ],
  columns: [
    { key: "time", title: t("access.when"), render: (row) => when(row.time) },
    { key: "user", title: t("access.who"), render: (row) => [row.user, " ", h("span.muted", {}, t(`access.via_${row.via}`))] },
    { key: "action", title: t("access.what"), render: (row) => h("code", {}, row.action) },
    { key: "project", title: t("access.project"), optional: true },
    { key: "detail", title: t("access.detail"), render: (row) => h("span.wrap", {}, row.detail) },
    { key: "address", title: t("access.address"), optional: true },
  ],
});
