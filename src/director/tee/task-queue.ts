/** @module A first-in first-out queue of tasks of fixed size: nothing is allocated for a command. */
import type { Task } from "../../scsi/unit/task.ts";

export class TaskQueue {
  private readonly slots: (Task | null)[];
  private first = 0;
  length = 0;

  constructor(capacity: number) {
    this.slots = new Array<Task | null>(capacity).fill(null);
  }

  get full(): boolean {
    return this.length === this.slots.length;
  }

  push(task: Task): void {
    if (this.full) throw new Error("task queue overrun: the window lets in more than the queue holds");
    this.slots[(this.first + this.length) % this.slots.length] = task;
    this.length++;
  }

  at(i: number): Task {
    return this.slots[(this.first + i) % this.slots.length] as Task;
  }

  shift(): Task {
    const task = this.slots[this.first] as Task;
    this.slots[this.first] = null;
    this.first = (this.first + 1) % this.slots.length;
    this.length--;
    return task;
  }
}
