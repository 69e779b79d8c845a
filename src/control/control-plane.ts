/**
 * ControlPlane: one Durable Object per deployment, the truth for keys, route versions, operators' providers and the
 * audit log, and the only writer of KV. Each kind has a table of its own; this is the door to them.
 *
 * A change writes its rows, its audit line and what KV must hold in one transaction, then sends the latter at once;
 * what KV does not take is sent again by the alarm. Breaker states pass through here too, on a lane of their own and
 * without an audit line: they are no operator's change. Digests need an await, so they are taken before the
 * transaction, over text that the transaction checks or that no other call can change.
 *
 * Methods return unions and never throw on purpose. `createKey`, `rotateKey`, `putRoute`, `rollBackRoute` and
 * `promoteRoute` make something new at every call: callers do not repeat them blindly. All else may be repeated.
 */
import { DurableObject } from "cloudflare:workers";
import type { ApprovalNote } from "../approvals/types.ts";
import type { BudgetRecord, BudgetRequest } from "../budgets/record.ts";
import { type Env, inJurisdiction, settingsOf } from "../config.ts";
import type { KeyChange, KeyRecord, KeyRequest, OperatorKey } from "../keys/record.ts";
import type { BudgetThreshold, Delivery, Webhook, WebhookRequest } from "../notices/types.ts";
import type { ProviderRecord } from "../policy/provider-record.ts";
import { priceEnds } from "../prices/ends.ts";
import * as announced from "./announced.ts";
import { type ApprovalPlace, type ApprovalQuery, findApprovals, noteApprovals } from "./approvals.ts";
import { migrate } from "./control-schema.sql.ts";
import { Journal } from "./journal.ts";
import { NoticeDesk } from "./notice-desk.ts";
import { Publisher } from "./publisher.ts";
import { toPage, toTargetUses } from "./rows.ts";
import { BudgetTable } from "./tables/budget-table.ts";
import { DisabledTable } from "./tables/disabled-table.ts";
import { KeyTable } from "./tables/key-table.ts";
import { PriceTable } from "./tables/price-table.ts";
import { ProviderTable } from "./tables/provider-table.ts";
import { RouteTable } from "./tables/route-table.ts";
import * as transfer from "./transfer.ts";
import type {
  AuditEntry,
  AuditQuery,
  BuiltInKind,
  CreateKeyResult,
  DeleteBudgetResult,
  DeleteProviderResult,
  DeleteRouteResult,
  DisableChange,
  DisabledTarget,
  MetricsView,
  Page,
  PriceChange,
  PriceEntry,
  PromoteRouteResult,
  PromotionView,
  PutBudgetResult,
  PutPriceResult,
  PutProviderResult,
  PutRouteResult,
  PutSettingsResult,
  RevokeKeyResult,
  RollbackResult,
  RollbackView,
  RotateKeyResult,
  RouteChange,
  RouteDeletion,
  RoutePromotion,
  RouteRollback,
  RouteVersion,
  Settings,
  TargetHealthChange,
  TargetUse,
  UpdateKeyResult,
} from "./types.ts";

export class ControlPlane extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #publisher: Publisher;
  readonly #journal: Journal;
  readonly #desk: NoticeDesk;
  readonly #keys: KeyTable;
  readonly #routes: RouteTable;
  readonly #providers: ProviderTable;
  readonly #budgets: BudgetTable;
  readonly #prices: PriceTable;
  readonly #disabled: DisabledTable;

  constructor(ctx: DurableObjectState, bound: Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    ctx.storage.transactionSync(() => migrate(this.#sql));
    this.#desk = new NoticeDesk(ctx.storage, () => this.#journal, {
      keys: (now) => this.#keys.ending(now),
      prices: (now) => priceEnds(this.#prices.list(), this.listTargets(), now),
    });
    this.#publisher = new Publisher(
      this.#sql,
      env.CONFIG,
      ctx.storage,
      Date.now(),
      () => this.#desk.dueAt(Date.now()),
      settingsOf(env).jurisdiction,
    );
    this.#journal = new Journal(ctx.storage, this.#publisher, (change) => {
      announced.announceChange(this.#desk.notices, change, Date.now());
      this.#desk.lookAgain();
    });
    this.#keys = new KeyTable(this.#sql, this.#journal, this.#publisher);
    this.#routes = new RouteTable(this.#sql, this.#journal, this.#publisher);
    this.#providers = new ProviderTable(this.#sql, this.#journal, this.#publisher);
    this.#prices = new PriceTable(this.#sql, this.#journal, this.#publisher);
    this.#disabled = new DisabledTable(this.#sql, this.#journal, this.#publisher);
    const tags = (): readonly string[] => this.#prices.settings().spend_tags;
    this.#budgets = new BudgetTable(this.#sql, this.#journal, this.#publisher, tags);
  }

  /** A new key. The answer is the only place its token ever appears in. */
  createKey(request: KeyRequest, actor: string, mayBeNewEnvironment: boolean): Promise<CreateKeyResult> {
    return this.#keys.create(request, actor, settingsOf(this.env).pepper, mayBeNewEnvironment);
  }

  /** The key that pages of `env` run requests with; `null`: the environment was never used. The second call makes none. */
  builtInKey(kind: BuiltInKind, env: string): Promise<KeyRecord | null> {
    return this.#keys.builtIn(kind, env);
  }

  /** Newest first. `before` is the `nextCursor` of the page before this one. */
  listKeys(limit: number, before: number | null): Page<OperatorKey> {
    return this.#keys.list(limit, before);
  }

  getKey(id: string): OperatorKey | null {
    return this.#keys.get(id);
  }

  /** A key's record as it is now, with the hashes of its secrets: where a copy may be too old. */
  readKey(id: string): KeyRecord | null {
    return this.#keys.read(id);
  }

  /** Environments that ever had a key, by name: nothing else makes a trace. */
  listEnvironments(): string[] {
    return this.#keys.environments();
  }

  /** Names of these keys, by id, revoked ones included. */
  keyNames(ids: readonly string[]): [id: string, name: string][] {
    return this.#keys.names(ids);
  }

  /** The first day of which usage can be kept by the day, first ms; 0: since the deployment's beginning. */
  usageKeptSince(): number {
    return this.#prices.usageKeptSince();
  }

  /** The key stays, here and in KV, as `revoked`. The second call changes nothing. */
  revokeKey(id: string, actor: string): Promise<RevokeKeyResult> {
    return this.#keys.revoke(id, actor);
  }

  /** What a key's requests said was erased everywhere else: here it is the list of its tool calls, and a line says who. */
  async noteErased(id: string, actor: string): Promise<void> {
    this.#keys.noteErased(id, actor);
  }

  /** Absent members stay as they are. The second call changes nothing. */
  updateKey(id: string, change: KeyChange, actor: string): Promise<UpdateKeyResult> {
    return this.#keys.update(id, change, actor);
  }

  /** A new secret; the one before works on for the overlap, the one before that ends at once. */
  rotateKey(id: string, overlapSeconds: number, actor: string): Promise<RotateKeyResult> {
    return this.#keys.rotate(id, overlapSeconds, actor, settingsOf(this.env).pepper);
  }

  /** Publishes the next version of a route. */
  putRoute(change: RouteChange, actor: string): Promise<PutRouteResult> {
    return this.#routes.put(change, actor);
  }

  /** What `rollBackRoute` is decided on. `version` of `null`: the one that served before. */
  rollbackView(env: string, name: string, version: number | null): RollbackView {
    return this.#routes.rollbackView(env, name, version);
  }

  /** An old version becomes the newest one, under facts of today. Brings a deleted route back. */
  rollBackRoute(rollback: RouteRollback, actor: string): Promise<RollbackResult> {
    return this.#routes.rollBack(rollback, actor);
  }

  /** What `promoteRoute` is decided on. */
  promotionView(name: string, from: string, to: string): PromotionView {
    return this.#routes.promotionView(name, from, to);
  }

  /** The candidate's policy becomes the newest version where it goes, if both routes are still as they were. */
  promoteRoute(promotion: RoutePromotion, actor: string): Promise<PromoteRouteResult> {
    return this.#routes.promote(promotion, actor);
  }

  /** Its versions stay, but not in KV, and a later one continues their numbers. The second call changes nothing. */
  deleteRoute(deletion: RouteDeletion, actor: string): Promise<DeleteRouteResult> {
    return this.#routes.delete(deletion, actor);
  }

  /** The active version of every route, the most recently published first. */
  listRoutes(limit: number, before: number | null): Page<RouteVersion> {
    return this.#routes.list(limit, before);
  }

  getRoute(env: string, name: string): RouteVersion | null {
    return this.#routes.active(env, name);
  }

  /** Every version ever published, newest first; `null` for a route that never existed. */
  listRouteVersions(env: string, name: string, limit: number, before: number | null): Page<RouteVersion> | null {
    return this.#routes.versions(env, name, limit, before);
  }

  getRouteVersion(env: string, name: string, version: number): RouteVersion | null {
    return this.#routes.version(env, name, version);
  }

  /** An operator's own provider, new or in the place of the one before. The second call changes nothing. */
  putProvider(record: ProviderRecord, actor: string): Promise<PutProviderResult> {
    return this.#providers.put(record, actor);
  }

  /** One that active routes name goes for a reason only. The second call changes nothing. */
  async deleteProvider(id: string, actor: string, reason: string | null): Promise<DeleteProviderResult> {
    const routes = this.listTargets().flatMap((use) => (use.provider === id ? use.routes : []));
    const isNamed = reason === null && routes.length > 0 && this.#providers.has(id);
    if (isNamed) return { ok: false, reason: "in_use", routes: [...new Set(routes)].sort() };
    return this.#providers.delete(id, actor, reason ?? undefined);
  }

  /** A budget above keys, new or changed. The second call changes nothing. */
  putBudget(id: string, request: BudgetRequest, actor: string): Promise<PutBudgetResult> {
    return this.#budgets.put(id, request, actor);
  }

  getBudget(id: string): BudgetRecord | null {
    return this.#budgets.get(id);
  }

  deleteBudget(id: string, actor: string): Promise<DeleteBudgetResult> {
    return this.#budgets.delete(id, actor);
  }

  listBudgets(): BudgetRecord[] {
    return this.#budgets.list();
  }

  listProviders(): ProviderRecord[] {
    return this.#providers.list();
  }

  /** Takes a provider or target out of every plan, or puts it back. The second call changes nothing. */
  setDisabled(change: DisableChange, actor: string): Promise<DisabledTarget | null | "too_many"> {
    return this.#disabled.change(change, actor);
  }

  /** What waits for KV and since when, and when the alarm is due: epoch ms. */
  async standing(): Promise<{ waiting: number; oldestAt: number | null; alarmAt: number | null }> {
    return { ...transfer.waitingChanges(this.#sql), alarmAt: await this.ctx.storage.getAlarm() };
  }

  exportRows(kind: transfer.TransferKind, limit: number, after: transfer.RowKey | null): transfer.TransferRow[] {
    return transfer.rowsOf(this.#sql, kind, limit, after);
  }

  /** See `transfer.stage`. */
  stageImport(id: string, first: number, lines: readonly transfer.TransferLine[]): boolean {
    return this.ctx.storage.transactionSync(() => transfer.stage(this.#sql, id, first, lines));
  }

  stagedSums(id: string, after: number, limit: number): transfer.StagedSums[] {
    return transfer.stagedSums(this.#sql, id, after, limit);
  }

  async commitImport(id: string, count: number, actor: string): Promise<transfer.ImportResult> {
    const tables = [this.#keys, this.#routes, this.#providers, this.#prices, this.#disabled, this.#budgets];
    const run = () => transfer.importStaged(this.#sql, id, count, { tables, journal: this.#journal, actor });
    const result = this.ctx.storage.transactionSync(run);
    this.#publisher.guard(Date.now());
    await this.#publisher.publish();
    return result;
  }

  metricsView(): MetricsView {
    return announced.metricsOf(this.#sql, this.#publisher.openTargets(), this.listTargets());
  }

  listDisabled(): DisabledTarget[] {
    return this.#disabled.list();
  }

  /** A price in force from its time on. The second call changes nothing. */
  putPrice(change: PriceChange, actor: string): Promise<PutPriceResult> {
    return this.#prices.put(change, actor);
  }

  /** False where no operator had set a price. */
  deletePrice(provider: string, model: string, actor: string): Promise<boolean> {
    return this.#prices.delete(provider, model, actor);
  }

  /** Prices that operators set: of one model, or all. */
  listPrices(provider?: string, model?: string): PriceEntry[] {
    return this.#prices.list(provider, model);
  }

  settings(): Settings {
    return this.#prices.settings();
  }

  putSettings(settings: Settings, actor: string): Promise<PutSettingsResult> {
    return this.#prices.putSettings(settings, actor);
  }

  listAudit(query: AuditQuery): Page<AuditEntry> {
    return this.#journal.list(query);
  }

  /** A line about what was shown to an operator, or done elsewhere. Repeating it adds a second line. */
  async noteShown(actor: string, action: string, object: string, detail?: object): Promise<void> {
    this.#journal.note({ actor, action, object, detail });
  }

  /**
   * Keeps what a target's shared breaker became, and publishes it behind the answer. Repeatable: an older `at` than the
   * one known of the target changes nothing.
   */
  async noteTargetHealth(change: TargetHealthChange): Promise<void> {
    const now = Date.now();
    this.ctx.storage.transactionSync(() => announced.noteBreaker(this.#publisher, this.#desk.notices, change, now));
    await this.#publisher.rearm();
    // The caller that announces it does not wait for KV.
    this.ctx.waitUntil(this.#publisher.publishHealth(now).catch(() => {}));
  }

  /** Every target that an active route names or whose breaker is known to be open. */
  listTargets(): TargetUse[] {
    const query = "SELECT env, name, index_entry FROM route_active ORDER BY env, name";
    const routes = this.#sql.exec<{ env: string; name: string; index_entry: string }>(query);
    return toTargetUses(routes, this.#publisher.openTargets());
  }

  /** What the record of a key says of calls that somebody has to decide or has decided. Repeatable. */
  async noteApprovals(notes: readonly ApprovalNote[]): Promise<void> {
    const now = Date.now();
    const tell = (note: ApprovalNote): void => announced.announceApproval(this.#desk.notices, note, now);
    this.ctx.storage.transactionSync(() => noteApprovals(this.#sql, notes, now, tell));
    await this.#publisher.rearm();
  }

  /** Where the calls are that `query` asks for, newest first. */
  listApprovals(query: ApprovalQuery): Page<ApprovalPlace> {
    const rows = findApprovals(this.#sql, query, Date.now());
    return toPage(rows, query.limit, ({ seq, key_id, tool_call_id }) => {
      return { keyId: key_id, toolCallId: tool_call_id, seq };
    });
  }

  /** Sends what KV did not take. Comes again until nothing waits, however often KV refuses. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    await Promise.all([this.#publisher.onAlarm(now), this.#desk.run(now)]);
    await this.#publisher.rearm();
  }

  /** The ledger of a key, or a budget's pool, says that a part of a limit is spent. Repeatable. */
  async noteThreshold(threshold: BudgetThreshold): Promise<void> {
    this.ctx.storage.transactionSync(() => announced.announceThreshold(this.#desk.notices, threshold, Date.now()));
    await this.#publisher.rearm();
  }

  async putWebhook(id: string, request: WebhookRequest, actor: string): Promise<ReturnType<NoticeDesk["put"]>> {
    const result = this.#desk.put(id, request, actor);
    await this.#publisher.rearm();
    return result;
  }

  rotateWebhook(id: string, actor: string): ReturnType<NoticeDesk["rotate"]> {
    return this.#desk.rotate(id, actor);
  }

  testWebhook(id: string): Promise<Delivery | null> {
    return this.#desk.notices.test(id, Date.now());
  }

  deleteWebhook(id: string, actor: string): void {
    this.#desk.remove(id, actor);
  }

  listWebhooks(): Webhook[] {
    return this.#desk.notices.list();
  }

  listDeliveries(id: string, limit: number, before: number | null): Page<Delivery> {
    const rows = this.#desk.notices.deliveries(id, limit + 1, before, Date.now());
    return toPage(rows, limit, ({ delivery }) => delivery);
  }
}
