import android.content.Context
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import android.util.AtomicFile
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.security.KeyStore
import javax.crypto.AEADBadTagException
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import org.json.JSONObject

/** The record in a file that only this device can read. */
class KeystoreFile(context: Context) : TokenStore {
    private val file = AtomicFile(File(context.noBackupFilesDir, "session"))

    override fun load(): JSONObject? {
        val bytes = try { file.readFully() } catch (_: FileNotFoundException) { return null }
        val cipher = Cipher.getInstance(CIPHER)
        cipher.init(Cipher.DECRYPT_MODE, key(), GCMParameterSpec(128, bytes, 0, 12))
        return try {
            JSONObject(cipher.doFinal(bytes, 12, bytes.size - 12).decodeToString())
        } catch (_: AEADBadTagException) {
            // The key is gone, and what it closed with it: nothing is left but to sign in again.
            null
        }
    }

    override fun save(record: JSONObject?) {
        val cipher = Cipher.getInstance(CIPHER).apply { init(Cipher.ENCRYPT_MODE, key()) }
        val bytes = cipher.iv + cipher.doFinal((record ?: JSONObject()).toString().toByteArray())
        val stream = file.startWrite()
        try {
            stream.write(bytes)
            file.finishWrite(stream)
        } catch (error: IOException) {
            file.failWrite(stream)
            throw error
        }
    }

    private fun key(): SecretKey {
        val keys = KeyStore.getInstance("AndroidKeyStore").apply { load(null) }
        (keys.getKey("session", null) as SecretKey?)?.let { return it }
        val uses = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        val wanted = KeyGenParameterSpec.Builder("session", uses)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .build()
        return KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, "AndroidKeyStore").apply { init(wanted) }.generateKey()
    }

    private companion object {
        const val CIPHER = "AES/GCM/NoPadding"
    }
}
