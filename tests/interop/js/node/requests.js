// Requests that say nothing of who asks: each on a connection of its own, so that none shares one with what was signed.
import http from 'node:http'
import https from 'node:https'

const AGENTS = { 'http:': [http, new http.Agent({ keepAlive: false })], 'https:': [https, new https.Agent({ keepAlive: false })] }
const SILENCE_MS = 60_000

// As `fetch`, as far as the core uses it.
export function fetchUnsigned(url, { method = 'GET', headers = {}, body, signal } = {}) {
  const [module, agent] = AGENTS[new URL(url).protocol]
  const length = body ? { 'Content-Length': body.length } : {}
  return new Promise((resolve, reject) => {
    const request = module.request(url, { method, headers: { ...headers, ...length }, agent, signal }, (answer) => {
      const parts = []
      answer.on('data', (part) => parts.push(part))
      answer.on('error', (error) => reject(new TypeError(error.message))) // cut off in the middle
      answer.on('end', () => {
        const whole = Buffer.concat(parts)
        const none = [204, 304].includes(answer.statusCode)
        resolve(new Response(none ? null : whole, { status: answer.statusCode, headers: answer.headers }))
      })
    })
    request.setTimeout(SILENCE_MS, () => request.destroy(new Error('nothing came for a minute')))
    request.on('error', (error) => reject(new TypeError(error.message)))
    request.end(body)
  })
}
