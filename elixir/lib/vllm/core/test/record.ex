defmodule Vllm.Core.Test.Record do
  @moduledoc false
  # Reads what a fake engine has recorded of its calls. `Vllm.Test` documents the functions.

  import Vllm.Core.Test.Control, only: [call: 2, call: 3]

  alias Vllm.Core.Test.Script
  alias Vllm.Ref
  alias Vllm.Test.{Chat, Request}

  @spec requests(Ref.t()) :: [Request.t()]
  def requests(engine), do: engine |> call("calls") |> Request.from_calls()

  @spec chats(Ref.t()) :: [Chat.t()]
  def chats(engine), do: engine |> call("calls") |> Chat.from_calls()

  @spec calls(Ref.t(), atom() | String.t()) :: [{[term()], %{optional(String.t()) => term()}}]
  def calls(engine, method) do
    for [_method, args, named] <- call(engine, "calls", [Script.method(method)]),
        do: {args, named}
  end

  @spec aborted(Ref.t()) :: [String.t()]
  def aborted(engine), do: call(engine, "aborted")

  @spec live(Ref.t()) :: non_neg_integer()
  def live(engine), do: call(engine, "live")["requests"]
end
