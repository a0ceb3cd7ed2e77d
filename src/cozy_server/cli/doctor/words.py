"""What `cozy doctor` says, in English and Chinese (pure data): for each code what was found and what to do."""

from collections.abc import Mapping

import msgspec

from cozy_server.codes import Language

Pair = tuple[str, str]
"""Cause and fix; the fix of what is well is empty."""


class Said(msgspec.Struct, frozen=True):
    en: Pair
    zh: Pair

    def of(self, language: Language) -> Pair:
        return self.zh if language == "zh" else self.en


WORDS: Mapping[str, Said] = {
    "python_ok": Said(("Python {version}", ""), ("Python {version}", "")),
    "python_unsupported": Said(
        ("Python {version} is not supported", "Install Python 3.11, 3.12 or 3.13."),
        ("不支持 Python {version}", "请安装 Python 3.11、3.12 或 3.13。"),
    ),
    "extras_ok": Said(
        ("installed: {installed}; not installed: {missing}", ""),
        ("已安装：{installed}；未安装：{missing}", ""),
    ),
    "extra_needed": Said(
        ("{setting} needs {package}, which is not installed", "pip install 'cozy-engine[{extra}]'"),
        ("{setting} 需要 {package}，但尚未安装", "pip install 'cozy-engine[{extra}]'"),
    ),
    "voices_ok": Said(("speaks: {names}", ""), ("语音合成：{names}", "")),
    "recognisers_ok": Said(("listens: {names}", ""), ("语音识别：{names}", "")),
    "recognisers_demo": Said(
        ("listens: {names}, offline, English, demo quality; others are named in speech.stt", ""),
        ("语音识别：{names}，离线，仅英语，仅供演示；其他引擎在 speech.stt 中指定", ""),
    ),
    "voices_none": Said(
        ("nobody speaks: speech.tts is empty", "Name a voice there: espeak, sherpa or provider/model."),
        ("无语音合成：speech.tts 为空", "请在其中指定声音：espeak、sherpa 或 provider/model。"),
    ),
    "recognisers_none": Said(
        (
            "nobody listens: speech.stt is empty",
            "Name one there: pocketsphinx, sherpa, faster-whisper or provider/model.",
        ),
        (
            "无语音识别：speech.stt 为空",
            "请在其中指定引擎：pocketsphinx、sherpa、faster-whisper 或 provider/model。",
        ),
    ),
    "engine_lost": Said(
        ("{setting} names {name}, which is left out: {missing} is not installed", ""),
        ("{setting} 中的 {name} 未启用：未安装 {missing}", ""),
    ),
    "speech_wrong": Said(
        ("{told}", "Correct it; the server does not start."), ("{told}", "请更正；服务器无法启动。")
    ),
    "voice_ok": Said(("what calls need is installed", ""), ("通话所需的组件均已安装", "")),
    "voice_missing": Said(
        ("calls would need {missing}: pip install 'cozy-engine[voice]'", ""),
        ("通话还需要 {missing}：pip install 'cozy-engine[voice]'", ""),
    ),
    "config_ok": Said(
        ("settings: {number}, written in {places}", ""), ("{places} 中写有 {number} 项设置", "")
    ),
    "config_none": Said(("nothing is configured: the defaults hold", ""), ("没有任何设置：使用默认值", "")),
    "config_wrong": Said(
        ("{told}", "Correct it; the rest is checked when the settings can be read."),
        ("{told}", "请更正；设置可读取后才会检查其余项目。"),
    ),
    "variable_unknown": Said(
        ("{told}", "Correct its name, or take it out of the environment."),
        ("{told}", "请更正变量名，或从环境中移除。"),
    ),
    "folder_ok": Said(("{folder}, {free} GB free", ""), ("{folder}，可用空间 {free} GB", "")),
    "folder_missing": Said(
        ("{folder} does not exist yet: the first start makes it", ""),
        ("{folder} 尚不存在：首次启动时会创建", ""),
    ),
    "folder_unusable": Said(
        (
            "{folder} cannot be written",
            "Give it to the user that runs cozy, or name another with --data or COZY_DATA.",
        ),
        ("无法写入 {folder}", "请把它交给运行 cozy 的用户，或用 --data 或 COZY_DATA 指定其他目录。"),
    ),
    "folder_open": Said(
        ("others may read {folder} (mode {mode})", "chmod 700 {folder}"),
        ("其他用户可以读取 {folder}（权限 {mode}）", "chmod 700 {folder}"),
    ),
    "disk_low": Said(
        ("only {free} MB are free where {folder} is", "Make room: on a full disk nothing can be stored."),
        ("{folder} 所在磁盘仅剩 {free} MB", "请清理空间：磁盘写满后无法保存任何内容。"),
    ),
    "clock_ok": Said(("{now}", ""), ("{now}", "")),
    "clock_wrong": Said(
        ("the clock says {now}, which is before this program was made", "Set it, and keep it by NTP."),
        ("系统时间为 {now}，早于本程序的发布时间", "请校准时间，并用 NTP 保持同步。"),
    ),
    "clock_behind": Said(
        (
            "the newest record in the store is {ahead} s ahead of the clock",
            "Set the clock, and keep it by NTP.",
        ),
        ("存储中最新的记录比系统时间超前 {ahead} 秒", "请校准时间，并用 NTP 保持同步。"),
    ),
    "port_ok": Said(("{host}:{port} is free", ""), ("{host}:{port} 可用", "")),
    "port_taken": Said(
        ("{told}", "If that is not your own server: choose another port with --port."),
        ("{told}", "如果占用者不是你自己的服务器：请用 --port 换一个端口。"),
    ),
    "bind_ok": Said(("{host} is reached from this machine alone", ""), ("{host} 只能从本机访问", "")),
    "bind_public": Said(
        ("{host} can be reached from other machines; API keys alive: {keys}", ""),
        ("{host} 可从其他机器访问；有 {keys} 个有效的 API 密钥", ""),
    ),
    "bind_open": Said(
        (
            "{host} can be reached from other machines, and nobody has an API key: `cozy serve` does not start so",
            "`cozy keys create NAME`, or --host 127.0.0.1.",
        ),
        (
            "{host} 可从其他机器访问，但没有任何 API 密钥：这样 `cozy serve` 无法启动",
            "`cozy keys create NAME`，或使用 --host 127.0.0.1。",
        ),
    ),
    "audit_key_ok": Said(("the audit key is there", ""), ("审计密钥已就绪", "")),
    "audit_key_none": Said(
        (
            "there is no audit key yet: `cozy dev` makes one, `cozy serve` does not start without",
            "openssl rand -hex 32 > {file}",
        ),
        (
            "还没有审计密钥：`cozy dev` 会生成，而 `cozy serve` 没有它就无法启动",
            "openssl rand -hex 32 > {file}",
        ),
    ),
    "audit_key_lost": Said(
        (
            "the store has records, and the audit key that signed them is gone",
            "Put {file} back, or set COZY_AUDIT__KEY.",
        ),
        ("存储中已有记录，但为其签名的审计密钥不见了", "请恢复 {file}，或设置 COZY_AUDIT__KEY。"),
    ),
    "audit_key_wrong": Said(
        ("{told}", "It must be 64 hex digits."), ("{told}", "必须是 64 位十六进制数字。")
    ),
    "audit_key_open": Said(
        ("others may read {file} (mode {mode})", "chmod 600 {file}"),
        ("其他用户可以读取 {file}（权限 {mode}）", "chmod 600 {file}"),
    ),
    "store_ok": Said(
        ("{place} is whole: {kind} {version}, schema {revision}", ""),
        ("{place} 完好：{kind} {version}，结构版本 {revision}", ""),
    ),
    "store_served": Said(
        ("{place} is whole: {kind} {version}, schema {revision}; a server runs on it", ""),
        ("{place} 完好：{kind} {version}，结构版本 {revision}；有服务器正在使用", ""),
    ),
    "store_none": Said(
        ("{place} does not exist yet: the first start makes it", ""),
        ("{place} 尚不存在：首次启动时会创建", ""),
    ),
    "store_behind": Said(
        (
            "{place} has the schema {revision}; the newest is {head}",
            "`cozy db upgrade`, or start the server, which does it.",
        ),
        (
            "{place} 的结构版本是 {revision}；最新的是 {head}",
            "`cozy db upgrade`，或直接启动服务器，由它升级。",
        ),
    ),
    "store_damaged": Said(
        (
            "{place} is damaged: {damage}",
            "Stop the server, keep a copy of the file, and put your last backup in its place.",
        ),
        ("{place} 已损坏：{damage}", "请停止服务器，保留该文件的副本，再用最近的备份替换它。"),
    ),
    "store_unchecked": Said(
        (
            "{place} could not be checked whole within {seconds} s",
            "`cozy db check` takes the time that it needs.",
        ),
        ("{place} 未能在 {seconds} 秒内检查完", "`cozy db check` 会完整检查。"),
    ),
    "store_unusable": Said(
        ("{told}", "Start it, or correct database.url (COZY_DATABASE__URL)."),
        ("{told}", "请启动数据库，或更正 database.url（COZY_DATABASE__URL）。"),
    ),
    "redis_none": Said(
        ("not configured: limits are each process's own", ""),
        ("未配置：各进程各自计算限额", ""),
    ),
    "redis_ok": Said(("{place} answers", ""), ("{place} 有应答", "")),
    "redis_shared_by_one": Said(
        (
            "redis.url lets several processes count together, and limits.processes is 1: while Redis is away, each of "
            "them would admit all that is allowed to all",
            "Set limits.processes (COZY_LIMITS__PROCESSES) to how many there are; with one, leave redis.url out.",
        ),
        (
            "redis.url 让多个进程共同计数，但 limits.processes 为 1：Redis 不可用时，每个进程都会放行全部限额",
            "请把 limits.processes（COZY_LIMITS__PROCESSES）设为进程数；只有一个进程时请去掉 redis.url。",
        ),
    ),
    "redis_unusable": Said(
        ("{told}", "Start it, or correct redis.url (COZY_REDIS__URL)."),
        ("{told}", "请启动 Redis，或更正 redis.url（COZY_REDIS__URL）。"),
    ),
    "provider_ok": Said(("{found}; models: {number}", ""), ("{found}：{number} 个模型", "")),
    "provider_failed": Said(
        ("{found}: {told}", "Check its key and its address (models.providers.{provider})."),
        ("{found}：{told}", "请检查其密钥和地址（models.providers.{provider}）。"),
    ),
    "provider_unbuilt": Said(
        ("no provider can be asked: {told}", "Install the package; the server does not start without it."),
        ("无法询问任何提供方：{told}", "请安装该软件包；没有它服务器无法启动。"),
    ),
    "provider_unused": Said(
        ("{found}: {told}", "It is not used; take it out of the environment, or look at the reason."),
        ("{found}：{told}", "它未被使用；请从环境中移除，或检查原因。"),
    ),
    "model_ok": Said(("{model}: {reason}", ""), ("{model}：{reason}", "")),
    "model_offline": Said(
        ("the offline model answers: {reason}", "Set OPENAI_API_KEY, or COZY_MODEL=provider/id."),
        ("由离线模型回答：{reason}", "请设置 OPENAI_API_KEY，或 COZY_MODEL=provider/id。"),
    ),
    "model_wrong": Said(
        ("{told}", "Correct models.default (COZY_MODEL)."),
        ("{told}", "请更正 models.default（COZY_MODEL）。"),
    ),
    "model_unlisted": Said(
        ("{provider} does not list the model {model}", "Check its name: {near}"),
        ("{provider} 没有列出模型 {model}", "请检查名称：{near}"),
    ),
    "personas_ok": Said(("fine: {ids}", ""), ("均正常：{ids}", "")),
    "persona_wrong": Said(
        ("{told}", "Correct the file; `cozy persona validate` checks it again."),
        ("{told}", "请更正该文件；可用 `cozy persona validate` 再次检查。"),
    ),
    "personas_unchecked": Said(
        ("they could not be checked: {told}", "Correct that first."),
        ("无法检查角色：{told}", "请先更正该问题。"),
    ),
    "persona_doubtful": Said(
        ("{told}", "Correct it if it is not meant."),
        ("{told}", "若非本意，请更正。"),
    ),
    "mcp_ok": Said(
        ("{name} ({address}); tools: {number}", ""),
        ("{name}（{address}）提供 {number} 个工具", ""),
    ),
    "mcp_failed": Said(
        (
            "{name} ({address}): {told}",
            "Correct tools.mcp.{name}; its personas go without these tools meanwhile.",
        ),
        ("{name}（{address}）：{told}", "请更正 tools.mcp.{name}；在此期间相关角色无法使用这些工具。"),
    ),
    "mcp_withheld": Said(
        (
            "{name} ({address}); tools: {number}; withheld: {told}",
            "See docs/how-to/tools.md.",
        ),
        ("{name}（{address}）提供 {number} 个工具，以下工具被扣下：{told}", "参见 docs/how-to/tools.md。"),
    ),
    "egress": Said(("the server may call: {places}", ""), ("服务器会访问：{places}", "")),
    "egress_none": Said(("the server calls nobody", ""), ("服务器不访问任何外部地址", "")),
}
