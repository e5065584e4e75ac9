defmodule Vllm.Bridge.Examples.ChatRoomTest do
  # The GenServer of chat_room.exs, taken out of its script.
  use ExUnit.Case, async: true

  @moduletag :bridge

  [definition] =
    Regex.run(~r/^defmodule ChatRoom do\n.*?^end$/ms, File.read!("elixir/examples/chat_room.exs"))

  # The script itself may run in this BEAM too, so here the module has another name.
  definition
  |> String.replace("defmodule ChatRoom", "defmodule Vllm.Bridge.Examples.ChatRoom")
  |> Code.compile_string("elixir/examples/chat_room.exs")

  alias Vllm.Bridge.Examples.ChatRoom

  setup_all context, do: %{worker: Vllm.Test.start_worker!(context)}

  setup %{worker: worker} do
    engine = Vllm.Test.engine!(worker)
    room = start_supervised!({ChatRoom, engine: engine, system: "Be brief."})
    :ok = ChatRoom.join(room, "Ada")
    %{engine: engine, room: room}
  end

  test "all see the answer while it is written", %{engine: engine, room: room} do
    Vllm.Test.reply(engine, ~r/Hello/, ["Hi", " there"])
    test = self()

    bob =
      Task.async(fn ->
        :ok = ChatRoom.join(room, "Bob")
        send(test, :joined)
        receive do: ({:room, {:answered, text, how}} -> {text, how})
      end)

    assert_receive :joined
    :ok = ChatRoom.say(room, "Hello")
    assert_receive {:room, {:joined, "Bob"}}
    assert_receive {:room, {:said, "Ada: Hello"}}
    assert_receive {:room, {:token, "Hi"}}
    assert_receive {:room, {:token, " there"}}
    assert_receive {:room, {:answered, "Hi there", :done}}
    assert Task.await(bob) == {"Hi there", :done}
    assert_receive {:room, {:left, "Bob"}}

    assert ChatRoom.history(room) ==
             [system: "Be brief.", user: "Ada: Hello", assistant: "Hi there"]
  end

  test "what is said meanwhile is answered together, after the answer", context do
    %{engine: engine, room: room} = context
    Vllm.Test.reply(engine, ~r/first/, ["one", " two"], hold: 1)
    Vllm.Test.reply(engine, ~r/third/, ["three"])
    :ok = ChatRoom.say(room, "first")
    assert_receive {:room, {:token, "one"}}
    :ok = ChatRoom.say(room, "second")
    :ok = ChatRoom.say(room, "third")
    assert Vllm.Test.release(engine) == 1
    assert_receive {:room, {:answered, "one two", :done}}
    assert_receive {:room, {:answered, "three", :done}}

    assert tl(ChatRoom.history(room)) == [
             user: "Ada: first",
             assistant: "one two",
             user: "Ada: second",
             user: "Ada: third",
             assistant: "three"
           ]
  end

  test "a stop ends the request, and the room goes on", %{engine: engine, room: room} do
    assert ChatRoom.stop(room) == :ok
    Vllm.Test.reply(engine, ~r/story/, ["Once", " upon"], hold: 1)
    Vllm.Test.reply(engine, ~r/Hello/, ["Hi"])
    :ok = ChatRoom.say(room, "a story")
    assert_receive {:room, {:token, "Once"}}
    assert ChatRoom.stop(room) == :ok
    assert_receive {:room, {:answered, "Once", :cancelled}}
    Vllm.Test.assert_live(engine, 0)
    :ok = ChatRoom.say(room, "Hello")
    assert_receive {:room, {:answered, "Hi", :done}}
    assert {:assistant, "Once"} in ChatRoom.history(room)
  end

  test "an error is told, and the room goes on", %{engine: engine, room: room} do
    Vllm.Test.refuse_admission(engine, times: 1)
    :ok = ChatRoom.say(room, "Hello")
    assert_receive {:room, {:answered, "", :overloaded}}
    :ok = ChatRoom.say(room, "Hello")
    assert_receive {:room, {:answered, _tokens, :done}}
  end

  test "the request ends with the room", %{engine: engine, room: room} do
    Vllm.Test.hang_after(engine, 1)
    :ok = ChatRoom.say(room, "Hello")
    Vllm.Test.assert_live(engine, 1)
    :ok = stop_supervised(ChatRoom)
    Vllm.Test.assert_live(engine, 0)
  end
end
