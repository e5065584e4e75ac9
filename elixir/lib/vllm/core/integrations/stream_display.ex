defmodule Vllm.Core.Integrations.StreamDisplay do
  @moduledoc false
  # Shows a stream while it comes, in a process of its own. When that process ends, so does the request.
  #
  # Each time it shows all that has come, not only what is new: Livebook drops what it gets for a frame
  # that is not yet on its page, and does not report when the frame is. That is also why the last state is
  # shown again, a second after the start.

  alias Vllm.Core.Integrations.StreamText
  alias Vllm.{Error, Stream}

  # Milliseconds between two times that something is shown, and from the start to the last time.
  @interval 100
  @settled 1_000

  @typedoc "What has come: the text, items that have none, and the error that ended the stream."
  @type part :: {:text, String.t()} | {:term, term()} | {:error, Error.t()}

  @doc "Enumerates the stream and gives all that has come to `show`, at most ten times a second."
  @spec run(Stream.t(), ([part()] -> term())) :: :ok
  def run(stream, show) do
    began = now()

    state = %{
      show: show,
      began: began,
      # When something may be shown again; nil while there is nothing new.
      due: nil,
      shown: began - @interval,
      known: StreamText.new(),
      text: "",
      terms: [],
      error: nil
    }

    case Stream.forward_to(stream, self()) do
      {:ok, stream} -> loop(stream, state)
      {:error, error} -> finish(%{state | error: error})
    end
  end

  defp loop(stream, state) do
    receive do
      {:vllm, ^stream, {:item, item}} -> loop(stream, state |> add(item) |> show_if_due())
      {:vllm, ^stream, :done} -> finish(state)
      {:vllm, ^stream, {:error, error}} -> finish(%{state | error: error})
    after
      wait(state) -> loop(stream, show(state))
    end
  end

  defp add(state, item) do
    {addition, known} = StreamText.add(state.known, item)
    state = %{state | known: known}

    case addition do
      nil -> state
      {:text, text} -> due(%{state | text: state.text <> text})
      {:term, term} -> due(%{state | terms: [{:term, term} | state.terms]})
    end
  end

  defp due(state), do: %{state | due: state.shown + @interval}

  # A stream that never pauses leaves no time for the timeout of the receive.
  defp show_if_due(state), do: if(wait(state) == 0, do: show(state), else: state)

  defp wait(%{due: nil}), do: :infinity
  defp wait(%{due: due}), do: max(due - now(), 0)

  defp show(state) do
    state.show.(parts(state))
    %{state | due: nil, shown: now()}
  end

  defp parts(state) do
    text = for text <- [state.text], text != "", do: {:text, text}
    error = for %Error{} = error <- [state.error], do: {:error, error}
    text ++ Enum.reverse(state.terms) ++ error
  end

  defp finish(state) do
    if state.due || state.error, do: show(state)
    Process.sleep(max(state.began + @settled - now(), 0))
    show(state)
    :ok
  end

  defp now, do: System.monotonic_time(:millisecond)
end
