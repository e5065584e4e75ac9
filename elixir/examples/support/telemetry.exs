# Of the library :telemetry what telemetry_to_console.exs uses, for a checkout without Hex.

defmodule :telemetry do
  def attach_many(id, events, handler, config) do
    for event <- events, do: :persistent_term.put({__MODULE__, event}, {id, handler, config})
    :ok
  end

  def execute(event, measurements, metadata) do
    with {_id, handler, config} <- :persistent_term.get({__MODULE__, event}, nil),
         do: handler.(event, measurements, metadata, config)

    :ok
  end
end
