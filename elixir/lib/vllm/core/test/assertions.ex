defmodule Vllm.Core.Test.Assertions do
  @moduledoc false
  # The assertions of `Vllm.Test`, which documents them. The fake engine waits for what is asserted; these
  # functions report what happened instead.

  import Vllm.Core.Test.Control

  alias Vllm.Ref
  alias Vllm.Core.Test.Record
  alias Vllm.Test.Request

  @timeout 30_000

  def generated(%Ref{} = engine, options) do
    keys = [:prompt, :request_id, :params, method: :generate, timeout: @timeout]
    {timeout, wanted} = options |> Keyword.validate!(keys) |> Keyword.pop!(:timeout)
    await_request(engine, wanted, now() + timeout)
  end

  defp await_request(engine, wanted, deadline) do
    calls = call(engine, "calls")
    requests = Request.from_calls(calls)

    case Enum.find(requests, &Request.fits?(&1, wanted)) do
      nil ->
        if await(engine, "wait_calls", [length(calls) + 1], deadline - now()),
          do: await_request(engine, wanted, deadline),
          else: flunk("no request matched #{inspect(wanted)}; #{came(requests)}")

      request ->
        request
    end
  end

  def called(%Ref{} = engine, method, options) do
    options = Keyword.validate!(options, count: 1, timeout: @timeout)
    await(engine, "wait_called", [to_string(method), options[:count]], options[:timeout])
    calls = Record.calls(engine, method)

    if length(calls) < options[:count],
      do: flunk("#{method} was called #{length(calls)} times; expected #{options[:count]}"),
      else: List.last(calls)
  end

  def aborted(%Ref{} = engine, request_id, options) do
    [timeout: timeout] = Keyword.validate!(options, timeout: @timeout)
    await(engine, "wait_aborted", [request_id], timeout)
    aborted = Record.aborted(engine)

    if request_id in aborted,
      do: :ok,
      else:
        flunk(
          "the request #{inspect(request_id)} was not aborted; aborted requests: " <>
            inspect(aborted)
        )
  end

  def live(%Ref{} = engine, count, options) do
    [timeout: timeout] = Keyword.validate!(options, timeout: @timeout)

    if await(engine, "wait_requests", [count], timeout),
      do: :ok,
      else: flunk("#{Record.live(engine)} requests are in flight; expected #{count}")
  end

  defp came([]), do: "the engine got none"
  defp came(requests), do: "the engine got:" <> Enum.map_join(requests, &"\n\n    #{inspect(&1)}")
end
