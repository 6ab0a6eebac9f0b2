"""Who may say yes to a call, how they are asked, and how an answer outlives the process.

An ask is durable: ``approval.asked`` is in the log before anybody is asked, and the call stays
*pending* (not executed, not unknown) until ``approval.answered`` follows it, whatever becomes of
the process meanwhile. A resumed session acts on the answer, or asks again.
"""

from agentkit.approvals.asking import wait_for_session
from agentkit.approvals.policy import Policy, Rule

__all__ = ["Policy", "Rule", "wait_for_session"]
