"""Every error code that a client may meet: what happened and what to do, in English and Chinese (pure data).

A code is stable and never translated; it is OpenAI's own where one exists. `docs/reference/errors.md` is generated from
this table (``python -m cozy_server.codes``), and so is the page that ``doc_url`` leads to.
"""

from collections.abc import Mapping
from html import escape
from typing import Literal

import msgspec

from cozy_server.page import page, prose

Language = Literal["en", "zh"]


class Words(msgspec.Struct, frozen=True):
    """``cause`` and ``hint``, one sentence each."""

    cause: str
    hint: str


class Code(msgspec.Struct, frozen=True):
    code: str
    en: Words
    zh: Words

    def words(self, language: Language) -> Words:
        return self.zh if language == "zh" else self.en


def _code(code: str, cause: str, hint: str, cause_zh: str, hint_zh: str) -> Code:
    return Code(code, Words(cause, hint), Words(cause_zh, hint_zh))


_ALL = (
    # What the caller sent.
    _code(
        "invalid_json",
        "The body is not JSON that we accept.",
        "Send UTF-8 JSON (RFC 8259) without NUL characters, lone surrogates or NaN, nested at most 64 levels deep.",
        "请求体不是可接受的 JSON。",
        "请发送 UTF-8 编码的 JSON（RFC 8259），不含 NUL 字符、孤立代理项或 NaN，嵌套不超过 64 层。",
    ),
    _code(
        "invalid_content_type",
        "The body's content type is not accepted here.",
        "Send the header Content-Type: application/json.",
        "不接受该请求体的内容类型。",
        "请发送请求头 Content-Type: application/json。",
    ),
    _code(
        "invalid_form",
        "The body is not a multipart form that we accept.",
        "Let your HTTP client build it (RFC 7578): a file, at most 64 parts, and a boundary that the header names.",
        "请求体不是可接受的 multipart 表单。",
        "请由 HTTP 客户端生成表单（RFC 7578）：包含一个文件，最多 64 个部分，边界与请求头一致。",
    ),
    _code(
        "unsupported_content_encoding",
        "Compressed bodies are not accepted.",
        "Send the body as it is, without a Content-Encoding header.",
        "不接受压缩的请求体。",
        "请直接发送请求体，不要带 Content-Encoding 请求头。",
    ),
    _code(
        "body_too_large",
        "The body is larger than the limit.",
        "Send less: shorten the history, or refer to images by URL instead of embedding them.",
        "请求体超过大小限制。",
        "请减小请求体：缩短历史消息，或用 URL 引用图片而不是内嵌。",
    ),
    _code(
        "headers_too_large",
        "The request's line and headers are larger than the limit.",
        "Send fewer or shorter headers; cookies are not needed here.",
        "请求行和请求头超过大小限制。",
        "请减少或缩短请求头；这里不需要 Cookie。",
    ),
    _code(
        "malformed_request",
        "What arrived is not HTTP that we accept.",
        "Send plain HTTP with one Content-Length; for https:// put a proxy that ends TLS in front of the server.",
        "收到的不是可接受的 HTTP 请求。",
        "请发送只带一个 Content-Length 的普通 HTTP 请求；若要使用 https://，请在服务器前放置终止 TLS 的代理。",
    ),
    _code(
        "request_timeout",
        "The request did not arrive in time.",
        "Send headers and body at once; check the connection, then try again.",
        "请求未能在规定时间内到达。",
        "请一次性发送请求头和请求体；检查网络后重试。",
    ),
    _code(
        "invalid_value",
        "A value is not accepted.",
        "Look at param: it names the field.",
        "有一个值不被接受。",
        "请查看 param，它指出了具体字段。",
    ),
    _code(
        "invalid_type",
        "A value has the wrong type.",
        "Look at param: it names the field.",
        "有一个值的类型不正确。",
        "请查看 param，它指出了具体字段。",
    ),
    _code(
        "missing_required_parameter",
        "A required field is missing.",
        "Add the field that param names.",
        "缺少必填字段。",
        "请补上 param 指出的字段。",
    ),
    _code(
        "unknown_parameter",
        "A field is not known here.",
        "Check its spelling; our own fields live in the object 'cozy'.",
        "存在未知字段。",
        "请检查拼写；引擎自有字段都在 cozy 对象中。",
    ),
    _code(
        "unsupported_parameter",
        "The model or this server cannot do what a field asks for.",
        "Leave the field out, or ask a model that can: GET /v1/models lists them.",
        "模型或本服务不支持某个字段的功能。",
        "请去掉该字段，或换用支持它的模型：GET /v1/models 可列出模型。",
    ),
    _code(
        "unsupported_value",
        "A field is known, but not with this value.",
        "The message lists what is accepted.",
        "字段有效，但不支持这个取值。",
        "错误信息中列出了可接受的取值。",
    ),
    _code(
        "array_above_max_length",
        "A list has too many items.",
        "Send fewer; with cozy.session_id only the new messages are needed.",
        "列表中的项目过多。",
        "请减少项目；使用 cozy.session_id 时只需发送新消息。",
    ),
    _code(
        "context_length_exceeded",
        "The request does not fit into the model's context window.",
        "Shorten the last messages or the instructions, or ask for a shorter answer.",
        "请求超出模型的上下文窗口。",
        "请缩短最近的消息或指令，或要求更短的回答。",
    ),
    _code(
        "content_policy_violation",
        "The model's provider refused the content.",
        "Rephrase the request.",
        "模型供应商拒绝了该内容。",
        "请换一种表述。",
    ),
    _code(
        "unknown_tool",
        "cozy.allowed_tools names a tool that this persona does not have.",
        "Leave cozy.allowed_tools out for all of the persona's tools, or send [] for none.",
        "cozy.allowed_tools 中有该角色没有的工具。",
        "省略 cozy.allowed_tools 表示使用该角色的全部工具，发送 [] 表示不使用工具。",
    ),
    _code(
        "tool_needs_approval",
        "cozy.allowed_tools names a tool that somebody has to approve before it runs.",
        "Leave it out: this version has no way to approve a tool.",
        "cozy.allowed_tools 中有须经人工批准才能运行的工具。",
        "请去掉该工具：当前版本尚无法批准工具。",
    ),
    _code(
        "duplicate_tool",
        "Two tools have the same name.",
        "Rename your tool, or leave the server's one out with cozy.allowed_tools.",
        "有两个同名的工具。",
        "请重命名你的工具，或用 cozy.allowed_tools 排除服务器的同名工具。",
    ),
    _code(
        "idempotency_key_reused",
        "This Idempotency-Key came before with another body.",
        "Use a new key for a new request, and the same key only to repeat the same one.",
        "该 Idempotency-Key 已用于另一个不同的请求体。",
        "新请求请用新的键；只有重发同一请求时才使用同一个键。",
    ),
    # Who asks.
    _code(
        "card_invalid",
        "The file is no character card that we take.",
        "The message says what is wrong with it and what to do.",
        "该文件不是可接受的角色卡。",
        "错误信息会说明问题所在和解决办法。",
    ),
    _code(
        "missing_api_key",
        "The request carries no API key. On the wire `code` is null here, as at OpenAI.",
        "Send the header Authorization: Bearer <key>; 'cozy keys create' makes one.",
        "请求没有携带 API 密钥（与 OpenAI 一致，此时响应中的 code 为 null）。",
        "请发送请求头 Authorization: Bearer <密钥>；用 cozy keys create 创建密钥。",
    ),
    _code(
        "invalid_api_key",
        "The API key is wrong, expired or revoked.",
        "Check the key; 'cozy keys list' shows which are alive.",
        "API 密钥错误、已过期或已吊销。",
        "请检查密钥；用 cozy keys list 查看有效的密钥。",
    ),
    _code(
        "permission_denied",
        "This key may not do that.",
        "Ask an administrator for a key with that right.",
        "该密钥无权执行此操作。",
        "请向管理员申请具有相应权限的密钥。",
    ),
    # What is not there.
    _code(
        "not_found",
        "What was named does not exist for this caller.",
        "Check the id; things of other owners are not visible.",
        "指定的内容不存在，或对当前调用者不可见。",
        "请检查 id；其他所有者的内容不可见。",
    ),
    _code(
        "model_not_found",
        "No persona, alias or model has that name.",
        "GET /v1/models lists what can be asked for.",
        "没有该名称的角色、别名或模型。",
        "GET /v1/models 可列出可用的名称。",
    ),
    _code(
        "unknown_voice",
        "The speech engine has no voice of that name.",
        "Ask for one that it knows; `alloy` works with all that are built in.",
        "语音引擎没有该名称的声音。",
        "请使用它支持的声音名称；`alloy` 对所有内置引擎都可用。",
    ),
    _code(
        "invalid_sdp",
        "The offer is no session description that can be answered; the message names what is wrong.",
        "Send what RTCPeerConnection.createOffer() gave: at most 64 kB, one audio section with Opus, DTLS and ICE.",
        "该 offer 不是可应答的会话描述；具体原因见错误消息。",
        "请原样发送 RTCPeerConnection.createOffer() 的结果：不超过 64 kB，含一个带 Opus、DTLS 和 ICE 的音频段。",
    ),
    _code(
        "invalid_candidate",
        "This is no ICE candidate, or there are too many of them.",
        "Send what the event icecandidate gave, at most 30 for a connection; an empty one says that there are no more.",
        "这不是 ICE 候选地址，或候选地址过多。",
        "请原样发送 icecandidate 事件的内容，每个连接最多 30 个；空字符串表示没有更多。",
    ),
    _code(
        "connection_already_exists",
        "A connection of this id is open.",
        "Make a new id for each connection.",
        "该 id 的连接已存在。",
        "请为每个连接使用新的 id。",
    ),
    _code(
        "connection_closed",
        "The connection of this id has ended.",
        "Start a new call with a new id.",
        "该 id 的连接已结束。",
        "请使用新的 id 重新呼叫。",
    ),
    _code(
        "invalid_recording",
        "The recording of a call cannot be read.",
        "Give it as it was written: one JSON object a line, the first with `at` and `profile`.",
        "无法读取该通话录制文件。",
        "请使用原始文件：每行一个 JSON 对象，第一行包含 `at` 和 `profile`。",
    ),
    _code(
        "invalid_audio",
        "The file is no sound that can be read.",
        "Send MP3, WAV, M4A, MP4, WebM, OGG, FLAC or AAC.",
        "无法将该文件作为音频读取。",
        "请发送 MP3、WAV、M4A、MP4、WebM、OGG、FLAC 或 AAC 文件。",
    ),
    _code(
        "audio_too_long",
        "The file holds more sound than is taken at once.",
        "Cut it into pieces.",
        "该文件的音频时长超过上限。",
        "请将其切成较短的片段。",
    ),
    _code(
        "message_too_large",
        "A message on the socket is larger than the limit.",
        "Send sound in pieces of 20 to 200 ms, as it is recorded.",
        "套接字上的消息超过大小限制。",
        "请按录制进度分段发送音频，每段 20 至 200 毫秒。",
    ),
    _code(
        "too_many_messages",
        "Messages come faster over the socket than is taken.",
        "Send sound in pieces of 20 to 200 ms, as it is recorded.",
        "套接字上的消息过于频繁。",
        "请按录制进度分段发送音频，每段 20 至 200 毫秒。",
    ),
    _code(
        "unexpected_message",
        "A message came that may not come at this point.",
        "Begin with 'start', once; then sound, then 'stop'.",
        "此时不应收到该消息。",
        "请先发送一次 start，然后发送音频，最后发送 stop。",
    ),
    _code(
        "socket_timeout",
        "The socket was silent, or open, for longer than it may be.",
        "Send 'start' at once, then sound or 'ping'; open another socket to go on.",
        "套接字空闲或打开的时间超过上限。",
        "请立即发送 start，之后持续发送音频或 ping；如需继续请重新打开套接字。",
    ),
    _code(
        "client_too_slow",
        "The client does not read what it is sent.",
        "Read while you send, then open the socket again.",
        "客户端没有读取发送给它的内容。",
        "请在发送的同时读取消息，然后重新打开套接字。",
    ),
    _code(
        "not_configured",
        "No engine for this is configured or installed.",
        "Name one in cozy.yaml; `cozy doctor` shows what is there.",
        "尚未配置或安装可完成此操作的引擎。",
        "请在 cozy.yaml 中指定引擎；`cozy doctor` 会列出现有的引擎。",
    ),
    _code(
        "persona_not_found",
        "No persona has that id.",
        "GET /v1/models lists the personas.",
        "没有该 id 的角色。",
        "GET /v1/models 可列出所有角色。",
    ),
    _code(
        "session_not_found",
        "No session has that id for this caller.",
        "GET /v1/cozy/sessions lists the sessions.",
        "当前调用者没有该 id 的会话。",
        "GET /v1/cozy/sessions 可列出会话。",
    ),
    _code(
        "blob_not_found",
        "No image, recording or file with that hash stands in a message of this caller.",
        "GET /v1/cozy/sessions/{id}/messages shows the hashes; ask for the same user_id.",
        "当前调用者的消息中没有该哈希值的图片、录音或文件。",
        "GET /v1/cozy/sessions/{id}/messages 会显示哈希值；请使用相同的 user_id。",
    ),
    _code(
        "unknown_url",
        "There is nothing at this address.",
        "Check the path; the base URL ends in /v1.",
        "该地址不存在。",
        "请检查路径；基础地址以 /v1 结尾。",
    ),
    _code(
        "method_not_supported",
        "This address does not answer that HTTP method.",
        "Check the method: the reference lists it for each address.",
        "该地址不支持此 HTTP 方法。",
        "请检查方法：参考文档列出了每个地址支持的方法。",
    ),
    # Too much.
    _code(
        "rate_limit_exceeded",
        "Too many requests for now.",
        "Wait as long as the Retry-After header says, then try again.",
        "请求过于频繁。",
        "请按 Retry-After 响应头等待后重试。",
    ),
    _code(
        "insufficient_quota",
        "The budget is spent.",
        "Trying again does not help; ask an administrator for more.",
        "额度已用尽。",
        "重试无效；请联系管理员增加额度。",
    ),
    _code(
        "server_overloaded",
        "The server has as many answers under way as it can do at once.",
        "Wait as long as the Retry-After header says, then try again; an administrator can raise limits.turns_at_once, or "
        "speech.texts_at_once for speech.",
        "服务器同时处理的回答已达上限。",
        "请按 Retry-After 响应头等待后重试；管理员可调高 limits.turns_at_once；语音合成则为 speech.texts_at_once。",
    ),
    _code(
        "server_shutdown",
        "The server is shutting down.",
        "Try again at once: another one answers, or this one is back in a moment.",
        "服务器正在关闭。",
        "请立即重试：其他实例会响应，或本实例很快恢复。",
    ),
    _code(
        "too_many_calls",
        "The caller has as many voice calls under way as one caller may have.",
        "Hang up another one first; an administrator can raise voice.calls_per_owner.",
        "该调用方同时进行的语音通话已达上限。",
        "请先结束其他通话；管理员可调高 voice.calls_per_owner。",
    ),
    # The model's provider.
    _code(
        "provider_error",
        "The model's provider failed.",
        "Try again later, or ask another model.",
        "模型供应商出错。",
        "请稍后重试，或换用其他模型。",
    ),
    _code(
        "provider_timeout",
        "The model's provider did not answer in time.",
        "Try again later, or ask another model.",
        "模型供应商未及时响应。",
        "请稍后重试，或换用其他模型。",
    ),
    _code(
        "turn_timeout",
        "The answer took longer than a turn may.",
        "Ask for a shorter answer, or for less work with tools.",
        "回答超过了单次对话的时间上限。",
        "请要求更短的回答，或减少工具调用。",
    ),
    _code(
        "provider_unavailable",
        "The model's provider cannot be reached.",
        "Try again later; GET /health/engines tells an administrator which model is left alone.",
        "无法连接模型供应商。",
        "请稍后重试；管理员可用 GET /health/engines 查看哪个模型已暂停调用。",
    ),
    _code(
        "provider_overloaded",
        "The model's provider is overloaded by everybody's requests.",
        "Wait as long as the Retry-After header says if there is one, or ask another model.",
        "模型供应商的整体负载过高。",
        "若有 Retry-After 响应头请按其等待，或换用其他模型。",
    ),
    _code(
        "provider_circuit_open",
        "The model's provider has been failing and is left alone for a while.",
        "Wait as long as the Retry-After header says, or ask another model.",
        "模型供应商连续出错，已暂停调用。",
        "请按 Retry-After 响应头等待，或换用其他模型。",
    ),
    _code(
        "provider_refused",
        "The model's provider understood the request and refused it.",
        "With status 400 mend the request: message and param are the provider's own. "
        "With 502 an administrator should check the model's name; 'cozy config show' tells which is in force.",
        "模型供应商拒绝了该请求。",
        "状态码为 400 时请修改请求：message 和 param 来自供应商。"
        "状态码为 502 时请管理员检查模型名称；可用 cozy config show 查看当前设置。",
    ),
    _code(
        "provider_credential_refused",
        "The model's provider did not accept the key or the account of this server.",
        "Your own key is not meant. Ask another model; an administrator should check the provider's key, "
        "and what it may use.",
        "模型供应商不接受本服务器的密钥或账户。",
        "这与你自己的密钥无关。请换用其他模型；请管理员检查供应商的密钥及其权限。",
    ),
    _code(
        "provider_malformed",
        "The answer of the model's provider could not be understood.",
        "Try again, or ask another model; if it lasts, the provider is not compatible.",
        "无法理解模型供应商的回答。",
        "请重试或换用其他模型；若持续出现，说明该供应商不兼容。",
    ),
    _code(
        "script_ended",
        "The scripted model of a test has nothing more to say.",
        "Give it one script for each call.",
        "测试用的脚本模型已没有更多内容。",
        "请为每次调用提供一个脚本。",
    ),
    # Ourselves.
    _code(
        "storage_error",
        "The conversation store failed.",
        "Tell an administrator the request_id.",
        "会话存储出错。",
        "请将 request_id 告知管理员。",
    ),
    _code(
        "storage_unavailable",
        "The conversation store does not answer, and nothing may be forgotten.",
        "Wait as long as the Retry-After header says, then try again.",
        "会话存储暂不可用；为避免丢失对话，请求未被处理。",
        "请按 Retry-After 响应头等待后重试。",
    ),
    _code(
        "storage_in_use",
        "Another process uses the conversation store.",
        "An administrator should stop it, choose another data folder, or use Postgres for several processes.",
        "会话存储正被另一个进程使用。",
        "请管理员停止该进程、更换数据目录，或在多进程部署时使用 Postgres。",
    ),
    _code(
        "schema_unknown",
        "The conversation store was written by a newer version of the server.",
        "An administrator should install that version, or go back to a copy from before.",
        "会话存储由更新版本的服务器写入。",
        "请管理员安装对应版本，或恢复之前的备份。",
    ),
    _code(
        "storage_conflict",
        "It collides with something that is already stored.",
        "Choose another name, or change what is there.",
        "与已存储的内容冲突。",
        "请换一个名称，或修改已有内容。",
    ),
    _code(
        "tool_failed",
        "A tool failed.",
        "Try again; an administrator finds the reason in the audit log.",
        "工具执行失败。",
        "请重试；管理员可在审计日志中查看原因。",
    ),
    _code(
        "plugin_error",
        "A plugin failed.",
        "Tell an administrator the request_id.",
        "插件出错。",
        "请将 request_id 告知管理员。",
    ),
    _code(
        "config_error",
        "The server's configuration has a mistake.",
        "Tell an administrator the request_id; 'cozy dev' and 'cozy serve' print file and line when they start.",
        "服务器配置有误。",
        "请将 request_id 告知管理员；cozy dev 和 cozy serve 启动时会显示文件和行号。",
    ),
    _code(
        "persona_invalid",
        "A persona's document has mistakes.",
        "'cozy persona validate' shows file, line and field.",
        "角色文档有错误。",
        "cozy persona validate 可显示文件、行号和字段。",
    ),
    _code(
        "protocol_error",
        "A protocol was broken.",
        "Tell an administrator the request_id.",
        "协议出错。",
        "请将 request_id 告知管理员。",
    ),
    _code(
        "local_protocol_error",
        "The server broke its own order of calls.",
        "Tell an administrator the request_id.",
        "服务器内部调用顺序出错。",
        "请将 request_id 告知管理员。",
    ),
    _code(
        "remote_protocol_error",
        "The other side broke the protocol.",
        "Check the client against the reference.",
        "对端违反了协议。",
        "请对照参考文档检查客户端。",
    ),
    _code(
        "server_unreachable",
        "The server that the command line was to talk to cannot be reached.",
        "Start it (`cozy dev` prints where it listens), or correct --url.",
        "无法连接命令行要访问的服务器。",
        "请启动服务器（`cozy dev` 会打印监听地址），或更正 --url。",
    ),
    _code(
        "server_error",
        "Something unexpected went wrong on our side.",
        "Tell an administrator the request_id; it leads to the log.",
        "服务器发生意外错误。",
        "请将 request_id 告知管理员，可据此查找日志。",
    ),
)

CODES: Mapping[str, Code] = {code.code: code for code in _ALL}

_PREFACE = """# Error codes

Generated by `python -m cozy_server.codes`; do not edit.

Every error under every path has one shape:

```json
{"error": {"message": "…", "type": "invalid_request_error", "param": "messages[2].role", "code": "invalid_value",
           "hint": "…", "doc_url": "/docs/errors#invalid_value", "request_id": "req_…"}}
```

`code` is stable and never translated. `message` and `hint` are Chinese when `Accept-Language` prefers Chinese.
`param` is a JSON path into the request, or the name of a header or query parameter. `request_id` is also the header
`x-request-id`, and leads to the log.

| code | what happened | what to do |
|---|---|---|
"""


def markdown() -> str:
    """The page `docs/reference/errors.md`."""
    return _PREFACE + "".join(_table_row(code) for code in _ALL)


def html() -> str:
    """The page that ``doc_url`` leads to; its anchors are the codes."""
    sections = "".join(_section(code) for code in _ALL)
    return page("Error codes", f"<h1>Error codes</h1>{sections}")


def _table_row(code: Code) -> str:
    what, do = (
        f"{escape(en)}<br>{escape(zh)}" for en, zh in zip(_parts(code.en), _parts(code.zh), strict=True)
    )
    return f'| <a id="{code.code}"></a>`{code.code}` | {what} | {do} |\n'


def _section(code: Code) -> str:
    en, zh = (f"<p>{prose(words.cause)} <b>{prose(words.hint)}</b></p>" for words in (code.en, code.zh))
    return (
        f"<section id='{code.code}'><h2><code>{code.code}</code></h2>{en}<div lang='zh'>{zh}</div></section>"
    )


def _parts(words: Words) -> tuple[str, str]:
    return words.cause, words.hint


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
