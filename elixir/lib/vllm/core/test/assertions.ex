defmodule Vllm.Core.Test.Assertions do
  @moduledoc false
  # The assertions of `Vllm.Test`, which documents them. The fake engine waits for what is asserted; these
  # functions report what happened instead.

  import Vllm.Core.Test.Control

  alias Vllm.Core.Options
  alias Vllm.Core.Test.{Record, Script}
  alias Vllm.Test.{Chat, Request}

  @timeout {:timeout, :pause, 30_000, "how many milliseconds to wait."}

  @request [
    @timeout,
    {:prompt, :term, nil, "a text, token ids or a regex."},
    {:request_id, :text, nil, "the id that the application gave."},
    {:params, {:or, [:keyword_list, :map]}, nil, "fields of the parameters and their values."},
    {:method, {:in, [:generate, :encode]}, :generate, "what was called."}
  ]

  @chat [
    @timeout,
    {:prompt, :term, nil, "the text of the last message, or a regex."},
    {:fields, {:or, [:keyword_list, :map]}, nil, "fields of the request and their values."},
    {:options, {:or, [:keyword_list, :map]}, nil, "options of the chat and their values."},
    {:method, {:in, [:chat, :stream_chat]}, nil, "what was called."}
  ]

  @calls [@timeout, {:count, {:range, 1, 1_000_000}, 1, "the least number of calls."}]

  @what "the options of an assertion"

  def generated(engine, options), do: await_fitting(engine, Request, @request, options)

  def chatted(engine, options), do: await_fitting(engine, Chat, @chat, options)

  defp await_fitting(engine, kind, table, options) do
    {timeout, wanted} = table |> Options.validate!(options, @what) |> Map.pop!(:timeout)
    wanted = for {key, it} when it != nil <- wanted, do: {key, it}
    await_request(engine, kind, wanted, now() + timeout)
  end

  # `kind` is the module of what is waited for.
  defp await_request(engine, kind, wanted, deadline) do
    calls = call(engine, "calls")
    requests = kind.from_calls(calls)

    case Enum.find(requests, &kind.fits?(&1, wanted)) do
      nil ->
        if await(engine, "wait_calls", [length(calls) + 1], deadline - now()),
          do: await_request(engine, kind, wanted, deadline),
          else: flunk("no request matched #{inspect(wanted)}; #{came(requests)}")

      request ->
        request
    end
  end

  def called(engine, method, options) do
    options = Options.validate!(@calls, options, @what)
    method = Script.method(method)
    await(engine, "wait_called", [method, options[:count]], options[:timeout])
    calls = Record.calls(engine, method)

    if length(calls) < options[:count],
      do: flunk("#{method} was called #{length(calls)} times; expected #{options[:count]}"),
      else: List.last(calls)
  end

  def aborted(engine, request_id, options) do
    %{timeout: timeout} = Options.validate!([@timeout], options, @what)
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

  def live(engine, count, options) do
    %{timeout: timeout} = Options.validate!([@timeout], options, @what)

    if await(engine, "wait_requests", [Script.count(count)], timeout),
      do: :ok,
      else: flunk("#{Record.live(engine)} requests are in flight; expected #{count}")
  end

  defp came([]), do: "the engine got none"
  defp came(requests), do: "the engine got:" <> Enum.map_join(requests, &"\n\n    #{inspect(&1)}")
end
