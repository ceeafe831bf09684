// The protocol of the conformance kit around the session of the how-to, with its record in a file.

import java.io.File
import java.nio.file.Files
import java.nio.file.StandardCopyOption
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlin.system.exitProcess
import org.json.JSONObject

class FileStore(folder: String) : TokenStore {
    private val file = File(folder, "session.json")

    override fun load() = if (file.exists()) JSONObject(file.readText()) else null

    override fun save(record: JSONObject?) {
        val fresh = File(file.path + ".new")
        fresh.outputStream().use {
            it.write((record ?: JSONObject()).toString().toByteArray())
            it.fd.sync()
        }
        Files.move(fresh.toPath(), file.toPath(), StandardCopyOption.ATOMIC_MOVE)
    }
}

fun main(): Unit = runBlocking {
    val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    val store = FileStore(System.getenv("STATE_DIR"))
    val session = Session(System.getenv("BASE_URL"), store, scope)

    suspend fun answer(command: JSONObject): JSONObject = when (command.getString("do")) {
        "login" -> runCatching { session.login(command.getString("email"), command.getString("password")) }
            .fold({ JSONObject().put("ok", true) }, { JSONObject().put("ok", false).put("error", it.message) })
        "call" -> {
            val calls = List(command.optInt("count", 1)) { scope.async { runCatching { session.call("GET", "/api/auth/me")?.status } } }
            JSONObject().put("succeeded", calls.awaitAll().count { it.getOrNull() == 200 })
        }
        "wake" -> JSONObject().also { scope.launch { runCatching { session.wake() } } }
        "state" -> JSONObject().put("signed_in", session.record() != null).put("reason", store.load()?.opt("reason"))
        "logout" -> JSONObject().put("ok", runCatching { session.logout() }.isSuccess)
        else -> JSONObject().put("error", "unknown")
    }

    for (line in generateSequence(::readlnOrNull)) println(answer(JSONObject(line)))
    exitProcess(0)
}
