// Asking again because something changed: at once, and not again before the answer is there and a pause is over.

export class Pulse {
  private isBusy = false;
  private isDue = false;
  private isEnded = false;

  constructor(
    private readonly act: () => Promise<unknown>,
    private readonly pauseMs: number,
  ) {}

  /** Something changed. */
  mark(): void {
    if (this.isEnded) return;
    if (this.isBusy) this.isDue = true;
    else void this.run();
  }

  /** Does nothing more. */
  end(): void {
    this.isEnded = true;
  }

  private async run(): Promise<void> {
    this.isBusy = true;
    do {
      this.isDue = false;
      await this.act().catch(() => undefined); // whoever shows the answer shows its error, too
      await new Promise((wake) => setTimeout(wake, this.pauseMs));
    } while (this.isDue && !this.isEnded);
    this.isBusy = false;
  }
}
