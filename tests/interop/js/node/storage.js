// The store of the core as one SQLite file: a transaction is durable when `write` returns.
import { DatabaseSync } from 'node:sqlite'

export class SqliteStorage {
  constructor(path) {
    this.database = new DatabaseSync(path)
    this.database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT')
  }
  load() {
    return this.database.prepare('SELECT key, value FROM kept').all().map(({ key, value }) => [key, value])
  }
  write(changes) {
    const set = this.database.prepare('INSERT INTO kept VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
    const remove = this.database.prepare('DELETE FROM kept WHERE key = ?')
    this.database.exec('BEGIN IMMEDIATE')
    try {
      for (const [key, bytes] of changes) bytes ? set.run(key, bytes) : remove.run(key)
      this.database.exec('COMMIT')
    } catch (error) {
      this.database.exec('ROLLBACK')
      throw error
    }
  }
}
