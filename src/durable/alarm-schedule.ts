/** The one alarm that the platform gives an object, for all that the object has to come back for. */

export type Alarms = Pick<DurableObjectStorage, "getAlarm" | "setAlarm" | "deleteAlarm">;

export class AlarmSchedule {
  readonly #alarms: Alarms;
  /** Epoch ms; `null`: none is set; `undefined`: this instance has not asked yet. */
  #at: number | null | undefined;

  constructor(alarms: Alarms) {
    this.#alarms = alarms;
  }

  /** Sees to it that the alarm rings at `at` (epoch ms) or before. Rejects when it cannot be set. */
  async ringBy(at: number): Promise<void> {
    if (this.#at === undefined) this.#at = await this.#alarms.getAlarm();
    if (this.#at === null || this.#at > at) await this.setTo(at);
  }

  /** The alarm rings at `at` and not before; `null`: not at all. The write is begun before the first await. */
  async setTo(at: number | null): Promise<void> {
    this.#at = at;
    try {
      await (at === null ? this.#alarms.deleteAlarm() : this.#alarms.setAlarm(at));
    } catch (error) {
      // Whether one is set is unknown now.
      this.#at = undefined;
      throw error;
    }
  }

  /** To be called when the alarm rings: the platform has taken it off. */
  rang(): void {
    this.#at = null;
  }
}
