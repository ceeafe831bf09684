import java.io.IOException
import java.net.HttpURLConnection
import java.net.URL
import java.security.SecureRandom
import java.util.Base64
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.delay
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import org.json.JSONException
import org.json.JSONObject

/** What is kept: `refresh_token`, `access_token`, the `key` of the refresh token once it was sent, or the `reason` of the end and `ended_by`. */
interface TokenStore {
    /** Null if there is nothing. Fails if that cannot be told: nobody is signed out by that. */
    fun load(): JSONObject?
    /** Is on the disk when it returns. */
    fun save(record: JSONObject?)
}

class Answer(val status: Int, val body: JSONObject, val retryAfter: Long = 0) {
    val code: String get() = body.optString("code")
}

class Session(private val base: String, private val store: TokenStore, private val scope: CoroutineScope) {
    private val mutex = Mutex()
    private var flight: Deferred<Unit>? = null

    suspend fun login(email: String, password: String) {
        val answer = send("POST", "/api/auth/login", body = JSONObject().put("email", email).put("password", password))
        mutex.withLock { if (!take(answer)) throw IOException("not signed in: ${answer.code}") }
    }

    /** A call with the access token; one that has expired is refreshed, and the call repeated once. Null: whoever called is not signed in. */
    suspend fun call(method: String, path: String, body: JSONObject? = null): Answer? {
        val before = record() ?: return null
        val token = before.getString("access_token")
        val answer = send(method, path, token, body = body)
        if (answer.status != 401 || !answer.code.startsWith("access_token_")) return answer
        refresh(token)
        // Somebody else may have signed in meanwhile: it was not their call.
        val now = record()?.takeIf { it.getString("session_id") == before.getString("session_id") } ?: return null
        return send(method, path, now.getString("access_token"), body = body)
    }

    /** The record of whoever is signed in. */
    suspend fun record(): JSONObject? = mutex.withLock { store.load()?.takeIf { it.has("refresh_token") } }

    /** Sees to an access token other than `unwanted`. However many ask at once, one request is sent, which no caller can cancel. */
    private suspend fun refresh(unwanted: String) = mutex.withLock {
        flight?.takeIf { it.isActive } ?: scope.async { run(unwanted) }.also { flight = it }
    }.await()

    private suspend fun run(unwanted: String) {
        var asked = 0L
        for (wait in listOf(0L, 1L, 2L, 4L)) {
            if (wait > 0) delay(1000 * maxOf(wait, minOf(asked, 30)))
            val sent = keyed(unwanted) ?: return
            val body = JSONObject().put("refresh_token", sent.getString("refresh_token"))
            val answer = try {
                send("POST", "/api/auth/refresh", key = sent.getString("key"), body = body)
            } catch (_: IOException) {
                null
            }
            if (answer != null && settled(sent, answer)) return
            asked = answer?.retryAfter ?: 0
        }
        throw IOException("not refreshed yet")
    }

    /** The record with a key that is stored before it is sent: whoever finds it after a crash repeats the refresh with it. */
    private suspend fun keyed(unwanted: String): JSONObject? = mutex.withLock {
        val record = store.load()?.takeIf { it.optString("access_token") == unwanted } ?: return null
        if (!record.has("key")) store.save(record.put("key", randomKey()))
        record
    }

    /** Whether that was an answer. Anything else means: keep the tokens and try again. */
    private suspend fun settled(sent: JSONObject, answer: Answer): Boolean = mutex.withLock {
        // Signed out, or in anew, meanwhile: older never replaces newer.
        if (store.load()?.optString("refresh_token") != sent.getString("refresh_token")) return true
        if (answer.status == 200) return take(answer)
        if (answer.status != 401 || answer.code !in OVER) return false
        // For a sentence to the user.
        store.save(JSONObject().put("reason", answer.code).put("ended_by", answer.body.opt("ended_by")))
        true
    }

    private fun take(answer: Answer): Boolean {
        val names = arrayOf("session_id", "refresh_token", "access_token")
        if (answer.status != 200 || names.any { answer.body.opt(it) !is String }) return false
        val next = JSONObject(names.associateWith { answer.body.getString(it) })
        // Inside the grace window a refresh returns the token that was sent. The key belongs to the token.
        val before = store.load()?.takeIf { it.has("key") && it.optString("refresh_token") == next.getString("refresh_token") }
        before?.let { next.put("key", it.getString("key")) }
        store.save(next)
        return true
    }

    /** When the app comes to the foreground, the network returns, or the system gives it time in the background. */
    suspend fun wake() {
        record()?.takeIf { it.has("key") }?.let { refresh(it.getString("access_token")) }
    }

    suspend fun logout() {
        val record = mutex.withLock { store.load().also { store.save(null) } } ?: return
        send("POST", "/api/auth/logout", body = JSONObject().put("refresh_token", record.optString("refresh_token")))
    }

    private suspend fun send(method: String, path: String, token: String? = null, key: String? = null, body: JSONObject? = null) =
        withContext(Dispatchers.IO) {
            val http = URL(base + path).openConnection() as HttpURLConnection
            http.requestMethod = method
            // A redirect could carry a token elsewhere.
            http.instanceFollowRedirects = false
            http.connectTimeout = 10_000
            http.readTimeout = 20_000
            token?.let { http.setRequestProperty("Authorization", "Bearer $it") }
            key?.let { http.setRequestProperty("Idempotency-Key", it) }
            if (body != null) {
                http.doOutput = true
                http.setRequestProperty("Content-Type", "application/json")
                http.outputStream.use { it.write(body.toString().toByteArray()) }
            }
            val status = http.responseCode
            val stream = if (status < 400) http.inputStream else http.errorStream
            val text = stream?.use { it.readBytes().decodeToString() }.orEmpty()
            Answer(status, parsed(text), http.getHeaderField("Retry-After")?.toLongOrNull() ?: 0)
        }

    /** A proxy's page, or half an answer, says nothing. */
    private fun parsed(text: String) = try { JSONObject(text) } catch (_: JSONException) { JSONObject() }

    private fun randomKey(): String =
        Base64.getUrlEncoder().withoutPadding().encodeToString(ByteArray(24).also(SecureRandom()::nextBytes))

    companion object {
        /** The only codes that mean "signed out", and only in a 401 to a refresh. */
        val OVER = setOf("refresh_token_invalid", "session_expired", "session_ended", "refresh_token_replayed")
    }
}
