"""What `cozy chat` says to its user, in English and Chinese (pure data)."""

from collections.abc import Mapping

from cozy_server.codes import Language

WORDS: Mapping[str, Mapping[Language, str]] = {
    "header": {
        "en": "{persona} · {answers} · session {session}",
        "zh": "{persona} · {answers} · 会话 {session}",
    },
    "how": {
        "en": "/help lists the commands. Ctrl-C stops an answer, Ctrl-D leaves.",
        "zh": "/help 列出命令。Ctrl-C 停止当前回答，Ctrl-D 退出。",
    },
    "help": {
        "en": """/new             begin a new session
/sessions        your last sessions; go on with one by `cozy chat --session ID`
/history [N]     what was said in this session, or the last N messages of it
/persona ID      somebody else speaks from now on; without an ID: who there is
/retry           say your last message again
/quit            leave (or Ctrl-D)
Ctrl-C           stop the answer; what was said so far is kept
//text           a message that begins with a slash""",
        "zh": """/new             开始新会话
/sessions        最近的会话；用 `cozy chat --session ID` 继续其中一个
/history [N]     本会话的内容，或其中最后 N 条消息
/persona ID      换一个角色说话；不带 ID 则列出所有角色
/retry           重新发送你的上一条消息
/quit            退出（或 Ctrl-D）
Ctrl-C           停止回答；已说出的内容会保留
//文本           发送以斜杠开头的消息""",
    },
    "leave_hint": {
        "en": "Ctrl-C stops an answer. To leave: Ctrl-D or /quit.",
        "zh": "Ctrl-C 用于停止回答。退出请用 Ctrl-D 或 /quit。",
    },
    "stopped": {"en": "[stopped]", "zh": "[已停止]"},
    "cut": {"en": "[cut off: {reason}]", "zh": "[回答被截断：{reason}]"},
    "skipped": {
        "en": "[without {engine}: {reason}, after {after_ms} ms]",
        "zh": "[未使用 {engine}：{reason}，{after_ms} 毫秒后放弃]",
    },
    "unknown": {
        "en": "There is no command /{typed}.{near} /help lists them.",
        "zh": "没有命令 /{typed}。{near}/help 列出所有命令。",
    },
    "near": {"en": " Did you mean /{near}?", "zh": "是不是 /{near}？"},
    "new": {"en": "A new session: {session}", "zh": "新会话：{session}"},
    "personas": {"en": "There are: {personas}", "zh": "现有角色：{personas}"},
    "no_persona": {
        "en": "There is no persona '{typed}'. There are: {personas}",
        "zh": "没有角色“{typed}”。现有角色：{personas}",
    },
    "persona": {"en": "{persona} speaks now.", "zh": "现在由 {persona} 说话。"},
    "no_sessions": {"en": "There is no session yet.", "zh": "还没有会话。"},
    "no_history": {"en": "Nothing has been said yet.", "zh": "还没有任何消息。"},
    "no_retry": {"en": "You have said nothing yet.", "zh": "你还没有说过话。"},
    "bad_number": {"en": "/history takes a number of messages.", "zh": "/history 后面应是消息条数。"},
    "storing": {"en": "[stopping…]", "zh": "[正在停止……]"},
}


def say(language: Language, name: str, **values: object) -> str:
    return WORDS[name][language].format(**values)
