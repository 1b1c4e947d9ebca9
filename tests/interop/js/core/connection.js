// One WebSocket to the relay, from the challenge on: with the device's signature, or without an identity.
import * as frames from './frames.js'
import { websocketTranscript } from './http.js'
import { RelayRefusal } from './errors.js'
import { sign } from './primitives.js'

const ANSWER_WITHIN_MS = 60_000

export class Connection {
  // `WebSocket` is the class of web pages; `hear(frame)` gets what the relay says; `own` is { origin, device, signingSeed }.
  constructor({ WebSocket, own, anonymous, hear }) {
    Object.assign(this, { own, anonymous, hear, waiting: new Map(), requestId: 0, isOpen: false })
    this.ready = new Promise((resolve, reject) => Object.assign(this, { isReady: resolve, isLost: reject }))
    this.ready.catch(() => {})
    const timer = setTimeout(() => this.close(), ANSWER_WITHIN_MS) // also one that is never opened is given up
    this.ready.finally(() => clearTimeout(timer)).catch(() => {})
    this.closed = new Promise((resolve) => {
      this.isClosed = resolve
      this.socket = new WebSocket(`${own.origin.replace(/^http/, 'ws')}/v1/connect`, ['tokenim.v1'])
      this.socket.binaryType = 'arraybuffer'
      this.socket.onmessage = ({ data }) => this.#take(data)
      this.socket.onerror = () => {}
      this.socket.onclose = ({ code }) => resolve(this.#lose(code))
    })
  }

  #take(data) {
    let heard
    try {
      heard = frames.decodeFrames(new Uint8Array(data))
    } catch {
      this.close()
      return
    }
    for (const frame of heard) {
      if (frame.name === 'challenge') this.#prove(frame.challenge)
      else if (frame.name === 'ready') {
        this.isOpen = true
        this.isReady(frame)
      } else if (frame.name === 'accepted' || (frame.name === 'refused' && frame.requestId)) this.#answer(frame)
      else this.hear(frame)
    }
    this.hear({ name: 'batchEnd' })
  }

  #prove(challenge) {
    const { origin, device, signingSeed } = this.own
    if (this.anonymous) this.send(frames.anonymous())
    else this.send(frames.authenticate(device, sign(signingSeed, websocketTranscript(origin, device, challenge))))
  }

  #answer(frame) {
    const request = this.waiting.get(frame.requestId)
    this.waiting.delete(frame.requestId)
    if (!request) return
    clearTimeout(request.timer)
    if (frame.name === 'accepted') request.resolve(frame)
    else request.reject(new RelayRefusal(frame.code, 0, frame.retryAfterMs))
  }

  #lose(code) {
    this.isOpen = false
    const error = new RelayRefusal('connection_lost', code)
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer)
      reject(error)
    }
    this.waiting.clear()
    this.isLost(error)
    return code
  }

  send(...some) {
    this.socket.send(frames.encodeFrames(some))
  }

  // Submit, and wait for the answer. A connection that answers nothing for 60 s is given up.
  async submit(envelope) {
    await this.ready
    if (!this.isOpen) throw new RelayRefusal('connection_lost', 0) // it was open once, and is not any more
    const requestId = ++this.requestId
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(requestId), ANSWER_WITHIN_MS)
      this.waiting.set(requestId, { resolve, reject, timer })
      this.send(frames.submit(requestId, envelope))
    })
  }

  #giveUp(requestId) {
    this.waiting.get(requestId)?.reject(new RelayRefusal('connection_lost', 0))
    this.waiting.delete(requestId)
    this.close()
  }

  // It is over for this side, whether or not the other one ever says so.
  close() {
    this.socket.onmessage = () => {}
    this.socket.close()
    this.isClosed(this.#lose(1000))
  }
}
