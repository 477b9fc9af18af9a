// Everybody's tokens.
import { $ } from "./dom.js";
import { del } from "./api.js";
import { mountTable } from "./table.js";
import { t } from "./i18n.js";
import { tokenColumns } from "./access.js";

const table = mountTable($("#tokens"), {
  endpoint: "/tokens", empty: t("access.no_tokens"), label: t("access.all_tokens"),
  filters: [{ name: "text", label: t("access.search"), type: "search" }],
  columns: tokenColumns(async (row) => { await del(`/tokens/${row.id}`); table.reload(); }, { users: true }),
});
