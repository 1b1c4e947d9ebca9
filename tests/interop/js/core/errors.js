// What is refused, and why: `kind` is the name that the vectors use (tests/vectors/README.md).
export class Refusal extends Error {
  constructor(kind, why) {
    super(`${kind}: ${why}`)
    this.name = 'Refusal'
    this.kind = kind
  }
}

// The relay said no: `code` is one of the chapter "Errors".
export class RelayRefusal extends Error {
  constructor(code, status, retryAfterMs = null) {
    super(`the relay answered ${code}`)
    this.name = 'RelayRefusal'
    this.code = code
    this.status = status
    this.retryAfterMs = retryAfterMs
  }
}

const AWAY = ['connection_lost', 'unanswered', 'shutting_down', 'unavailable', 'overloaded', 'rate_limited']

// Whether a failure says nothing of what was asked: the relay is away, or has no time now (`retryAfterMs` may say until when). (`fetch` throws a TypeError then.)
export const isPassing = (error) => error.name === 'TypeError' || AWAY.includes(error.code)
