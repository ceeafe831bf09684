import Foundation
import Security

/// What is kept. `key` is there while a refresh has no answer, `reason` and `endedBy` when the service has ended the session.
struct Record: Codable, Sendable {
    var sessionId: String?
    var refreshToken: String?
    var accessToken: String?
    var key: String?
    var reason: String?
    var endedBy: String?
}

struct KeychainError: Error { let status: OSStatus }
struct NotRefreshedYet: Error {}
struct NotSignedIn: Error { let code: String }

/// One item of the keychain.
struct TokenStore: Sendable {
    var service = "com.example.session"
    /// An access group that an extension has too.
    var group: String?

    private var item: [String: Any] {
        var item: [String: Any] = [
            kSecClass as String: kSecClassGenericPassword,
            kSecAttrService as String: service,
            kSecAttrAccount as String: "session",
            kSecAttrSynchronizable as String: false,
            kSecUseDataProtectionKeychain as String: true,
        ]
        if let group = group { item[kSecAttrAccessGroup as String] = group }
        return item
    }

    /// Nil if there is nothing. Fails if that cannot be told: nobody is signed out by that.
    func load() throws -> Record? {
        var query = item
        query[kSecReturnData as String] = true
        var found: CFTypeRef?
        let status = SecItemCopyMatching(query as CFDictionary, &found)
        if status == errSecItemNotFound { return nil }
        guard status == errSecSuccess, let data = found as? Data else { throw KeychainError(status: status) }
        return try JSONDecoder().decode(Record.self, from: data)
    }

    /// Is in the keychain when it returns.
    func save(_ record: Record) throws {
        let data = try JSONEncoder().encode(record)
        let value: [String: Any] = [
            kSecValueData as String: data,
            kSecAttrAccessible as String: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
        ]
        var status = SecItemUpdate(item as CFDictionary, value as CFDictionary)
        if status == errSecItemNotFound {
            status = SecItemAdd(item.merging(value) { _, new in new } as CFDictionary, nil)
        }
        guard status == errSecSuccess else { throw KeychainError(status: status) }
    }
}

struct Answer: Sendable {
    private struct Problem: Decodable {
        let code: String
        let ended_by: String?
    }

    let status: Int
    let data: Data
    let retryAfter: TimeInterval
    /// A proxy's page, or half an answer, says nothing.
    private var problem: Problem? { try? JSONDecoder().decode(Problem.self, from: data) }
    var code: String { problem?.code ?? "" }
    var endedBy: String? { problem?.ended_by }
}

/// A redirect could carry a token elsewhere.
final class NoRedirects: NSObject, URLSessionTaskDelegate {
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }
}

actor Session {
    private struct Tokens: Decodable {
        let session_id: String
        let access_token: String
        let refresh_token: String
    }

    /// The only codes that mean "signed out", and only in a 401 to a refresh.
    private static let over = ["refresh_token_invalid", "session_expired", "session_ended", "refresh_token_replayed"]

    private let base: String
    private let store: TokenStore
    private let http: URLSession
    private var flight: Task<Void, Error>?

    init(base: String, store: TokenStore) {
        // No cache and no cookies.
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = 20
        configuration.timeoutIntervalForResource = 30
        self.base = base
        self.store = store
        self.http = URLSession(configuration: configuration, delegate: NoRedirects(), delegateQueue: nil)
    }

    func login(email: String, password: String) async throws {
        let body = try JSONEncoder().encode(["email": email, "password": password])
        let answer = try await send("POST", "/api/auth/login", body: body)
        guard try take(answer) else { throw NotSignedIn(code: answer.code) }
    }

    /// A call with the access token; one that has expired is refreshed, and the call repeated once. Nil: whoever called is not signed in.
    func call(_ method: String, _ path: String, body: Data? = nil) async throws -> Answer? {
        guard let before = try store.load(), let token = before.accessToken else { return nil }
        let answer = try await send(method, path, token: token, body: body)
        guard answer.status == 401, answer.code.hasPrefix("access_token_") else { return answer }
        try await refresh(unwanted: token)
        // Somebody else may have signed in meanwhile: it was not their call.
        guard let now = try store.load(), now.sessionId == before.sessionId, let next = now.accessToken else { return nil }
        return try await send(method, path, token: next, body: body)
    }

    /// Sees to an access token other than `unwanted`. However many ask at once, one request is sent, which no caller can cancel.
    private func refresh(unwanted: String) async throws {
        let task = flight ?? Task { try await self.run(unwanted) }
        flight = task
        defer { if flight == task { flight = nil } }
        try await task.value
    }

    private func run(_ unwanted: String) async throws {
        var asked: TimeInterval = 0
        for wait: TimeInterval in [0, 1, 2, 4] {
            if wait > 0 { try await Task.sleep(nanoseconds: UInt64(max(wait, min(asked, 30)) * 1_000_000_000)) }
            guard let sent = try keyed(unwanted) else { return }
            let body = try JSONEncoder().encode(["refresh_token": sent.refreshToken])
            let answer = try? await send("POST", "/api/auth/refresh", key: sent.key, body: body)
            if let answer = answer, try settled(sent, answer) { return }
            asked = answer?.retryAfter ?? 0
        }
        throw NotRefreshedYet()
    }

    /// The record with a key that is stored before it is sent: whoever finds it after a crash repeats the refresh with it.
    private func keyed(_ unwanted: String) throws -> Record? {
        guard var record = try store.load(), record.accessToken == unwanted else { return nil }
        if record.key == nil {
            // The system's generator is a cryptographic one.
            record.key = Data((0..<24).map { _ in UInt8.random(in: 0...255) }).base64EncodedString()
            try store.save(record)
        }
        return record
    }

    /// Whether that was an answer. Anything else means: keep the tokens and try again.
    private func settled(_ sent: Record, _ answer: Answer) throws -> Bool {
        // Signed out, or in anew, meanwhile: older never replaces newer.
        guard try store.load()?.refreshToken == sent.refreshToken else { return true }
        if answer.status == 200 { return try take(answer) }
        guard answer.status == 401, Session.over.contains(answer.code) else { return false }
        // For a sentence to the user.
        try store.save(Record(reason: answer.code, endedBy: answer.endedBy))
        return true
    }

    private func take(_ answer: Answer) throws -> Bool {
        guard answer.status == 200, let tokens = try? JSONDecoder().decode(Tokens.self, from: answer.data) else { return false }
        var next = Record(sessionId: tokens.session_id, refreshToken: tokens.refresh_token, accessToken: tokens.access_token)
        // Inside the grace window a refresh returns the token that was sent. The key belongs to the token.
        if let before = try store.load(), before.refreshToken == next.refreshToken { next.key = before.key }
        try store.save(next)
        return true
    }

    /// When the app comes to the foreground, the network returns, or the system gives it time in the background.
    func wake() async throws {
        if let record = try store.load(), record.key != nil, let token = record.accessToken { try await refresh(unwanted: token) }
    }

    func logout() async throws {
        guard let token = try store.load()?.refreshToken else { return }
        try store.save(Record())
        _ = try await send("POST", "/api/auth/logout", body: JSONEncoder().encode(["refresh_token": token]))
    }

    private func send(_ method: String, _ path: String, token: String? = nil, key: String? = nil, body: Data? = nil) async throws -> Answer {
        guard let url = URL(string: base + path) else { throw URLError(.badURL) }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.httpBody = body
        if body != nil { request.setValue("application/json", forHTTPHeaderField: "Content-Type") }
        if let token = token { request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }
        if let key = key { request.setValue(key, forHTTPHeaderField: "Idempotency-Key") }
        let (data, response) = try await http.data(for: request)
        guard let answer = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
        let retryAfter = TimeInterval(answer.value(forHTTPHeaderField: "Retry-After") ?? "") ?? 0
        return Answer(status: answer.statusCode, data: data, retryAfter: retryAfter)
    }
}
