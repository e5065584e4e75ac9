defmodule Vllm.Followed do
  @moduledoc false
  # Requests whose items are messages to the test, and that stand still where the test wants it.
  #
  # An engine does not wait for anybody: on a busy machine a request may be over before the test has
  # seen its first item. So what has to happen in the middle of requests happens while the engine is
  # paused, with every request begun and none finished: see `halfway/2`.

  import ExUnit.Assertions
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, VllmEngine}

  # A request that counts to `tokens`. Its items arrive as messages, each stream's from a process of
  # its own: with `stream_to:` a receiver gets no more items while its mailbox is full, of whatever messages.
  def follow(engine, prompt, tokens) do
    test = self()
    params = [temperature: 0.0, max_tokens: tokens, output_kind: :DELTA]

    # The process is also the tag of its messages.
    {:ok, pid} =
      Task.start_link(fn ->
        case AsyncLLM.generate(engine, prompt, params, VllmEngine.request_id()) do
          {:ok, stream} ->
            send(test, {self(), :accepted})
            send(test, {self(), forward(stream, test)})

          {:error, error} ->
            send(test, {self(), {:refused, error}})
        end
      end)

    assert_receive {^pid, :accepted}
    pid
  end

  defp forward(stream, test) do
    Enum.each(stream, &send(test, {self(), {:item, &1}}))
    :done
  rescue
    error in Vllm.Error -> {:failed, error}
  end

  # Lets requests begin that were accepted by a paused engine, and pauses it again before they have
  # finished. Returns the items so far of each of them.
  def halfway(engine, tags, begun \\ %{}) do
    assert AsyncLLM.resume_generation(engine) == {:ok, nil}
    pause = [mode: "keep", clear_cache: false]
    assert AsyncLLM.pause_generation(engine, pause) == {:ok, nil}
    present = Enum.group_by(present(engine, tags), &elem(&1, 0), &elem(&1, 1))

    begun =
      for tag <- tags, into: %{}, do: {tag, Map.get(begun, tag, []) ++ Map.get(present, tag, [])}

    if Enum.any?(begun, fn {_tag, items} -> items == [] end),
      do: halfway(engine, tags, begun),
      else: begun
  end

  # Requests that are frozen in the middle, with their items so far. On a machine that stops the
  # test for seconds they may be over before they are frozen: then others take their place.
  def frozen(engine, prompts, tokens, tries \\ 20) do
    assert AsyncLLM.pause_generation(engine, mode: "keep", clear_cache: false) == {:ok, nil}
    tags = for prompt <- prompts, do: follow(engine, prompt, tokens)
    begun = halfway(engine, tags)

    cond do
      VllmEngine.unfinished(engine) == length(tags) -> for tag <- tags, do: {tag, begun[tag]}
      tries > 1 -> frozen_again(engine, tags, prompts, tokens, tries)
      true -> flunk("#{tokens} tokens were always made before the engine could be paused")
    end
  end

  defp frozen_again(engine, tags, prompts, tokens, tries) do
    assert AsyncLLM.resume_generation(engine) == {:ok, nil}
    Enum.each(tags, &rest/1)
    frozen(engine, prompts, tokens, tries - 1)
  end

  # A paused engine makes nothing for these requests, however often EngineCore has come round since.
  def assert_nothing_made(engine, tags), do: assert(present(engine, tags) == [])

  # The items of these requests that a paused engine has made, also those that are on their way. An
  # answer of EngineCore is behind its outputs, and those are with the processes that forward them
  # some turns of the worker's loop later. As these take what they have, more may follow.
  defp present(engine, tags) do
    for _ <- 1..3, do: {:ok, _} = AsyncLLM.is_sleeping(engine)
    wait_until(fn -> Enum.all?(tags, &idle?/1) end)

    case received(Map.from_keys(tags, true)) do
      [] -> []
      items -> items ++ present(engine, tags)
    end
  end

  defp received(tags) do
    receive do
      {tag, {:item, item}} when is_map_key(tags, tag) -> [{tag, item} | received(tags)]
    after
      0 -> []
    end
  end

  # It waits for messages, and has none; or has ended.
  defp idle?(pid) do
    case Process.info(pid, [:status, :message_queue_len]) do
      [status: status, message_queue_len: length] -> status == :waiting and length == 0
      nil -> true
    end
  end

  # The items until the end.
  def rest(tag) do
    assert_receive {^tag, event}

    case event do
      {:item, item} -> [item | rest(tag)]
      :done -> []
    end
  end

  def said(items), do: Enum.map_join(items, &VllmEngine.text/1)
  def tokens(items), do: Enum.flat_map(items, &VllmEngine.ids/1)
  def finish_reason(items), do: List.last(items).outputs |> hd() |> Map.get(:finish_reason)
end
